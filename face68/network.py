"""Networks of exported files, run in ONNX Runtime: gray crops in, `Predictions` out; or pictures in, maps of faces out.

A `Network` need not be an `OnnxNetwork`: `training.checkpoint.TorchNetwork` is one of a checkpoint.
"""

import contextlib
import json
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import onnxruntime

from face68.files import InputError
from face68.geometry import CropPolicy
from face68.landmarks import NUM_LANDMARKS, scheme_from
from face68.schemes import Scheme

FORMAT = "1"  # of the metadata, under "face68"; a file of another format is refused
CELL = 8  # px of a picture, the side of a cell of a detector's maps
BATCH = 64  # crops at once; more is no faster and takes more memory
_HERE = Path(__file__).resolve().parent


class Predictions(NamedTuple):
    """A network's outputs for N faces, in px of their crops or, from a `Landmarker`, of their images; the last two are
    None where it doesn't judge its own work.

    keypoints: (N, 68, 2) float32 px, x before y.
    errors: (N, 68) float32 px, each point's expected distance from the truth.
    face_scores: (N,) float32 in 0 … 1, how surely this is an upright face.
    visible: (N, 68) float32 in 0 … 1, the probability that each point can be seen.
    """

    keypoints: np.ndarray
    errors: np.ndarray | None
    face_scores: np.ndarray | None
    visible: np.ndarray | None = None


class Network(Protocol):
    """Predicts the keypoints of crops.

    policy: of its crops.
    path: of its file.
    predicts_errors: whether it judges its own work, see `Predictions`.
    scheme: of its points.
    """

    policy: CropPolicy
    path: Path
    predicts_errors: bool
    scheme: Scheme

    def __call__(self, crops: np.ndarray) -> Predictions:
        """crops: (B, S, S) uint8 gray, B ≥ 1."""
        ...


def is_exported(path: str | Path) -> bool:
    """Whether a file is a network that export.py wrote."""
    for kind in (OnnxNetwork, OnnxDetector):
        with contextlib.suppress(InputError):
            kind(path)
            return True
    return False


FAR = 1e9  # px, far beyond any point of a crop or a picture
ROUNDING = 1e-5  # by which a probability may lie outside of 0 … 1: ONNX Runtime's own Sigmoid gives 1.0000001


def concatenated(parts: Sequence[tuple]) -> tuple:
    """The named tuples of several batches as one: arrays one after the other, or None where there are none."""
    fields = zip(*parts, strict=True)
    return type(parts[0])(*(None if field[0] is None else np.concatenate(field) for field in fields))


def check_predictions(predictions: Predictions, count: int, path: Path, points: int = NUM_LANDMARKS) -> Predictions:
    """A network's outputs of so many points for `count` crops, face scores clipped to 0 … 1.

    Raises:
        InputError: no crop can have such outputs; `path` is the network's file.
    """
    keypoints, errors, face_scores, visible = predictions
    possible = (
        (keypoints, (count, points, 2), -FAR, FAR),
        (errors, (count, points), 1 / FAR, FAR),
        (face_scores, (count,), -ROUNDING, 1 + ROUNDING),
        (visible, (count, points), -ROUNDING, 1 + ROUNDING),
    )
    _check_outputs([one for one in possible if one[0] is not None], path)
    if points > 1 and not np.ptp(keypoints, axis=1).any(axis=1).all():
        raise InputError(
            f"{path}: places all points of a face in one: it has learned too little; train it longer or on more faces"
        )
    face_scores, visible = (None if values is None else values.clip(0, 1) for values in (face_scores, visible))
    return predictions._replace(face_scores=face_scores, visible=visible)


def check_maps(
    maps: tuple[np.ndarray, np.ndarray], shape: tuple[int, ...], path: Path
) -> tuple[np.ndarray, np.ndarray]:
    """A detector's maps of pictures of a shape (B, 3, H, W), see `OnnxDetector`, scores clipped to 0 … 1.

    Raises:
        InputError: no picture can have such maps; `path` is the detector's file.
    """
    count, _, height, width = shape
    scores, faces = maps
    cells = height // CELL, width // CELL
    possible = (scores, (count, *cells), -ROUNDING, 1 + ROUNDING), (faces, (count, 5, *cells), -FAR, FAR)
    _check_outputs(possible, path)
    return scores.clip(0, 1), faces


def _check_outputs(outputs: Sequence[tuple[np.ndarray, tuple[int, ...], float, float]], path: Path) -> None:
    """Check each array's shape, and that its values are from a least to a largest; NaN isn't."""
    for values, shape, least, largest in outputs:
        if values.shape != shape:
            raise InputError(f"{path}: gives {values.shape} numbers, not {shape}; export it again")
        lowest, highest = values.min(), values.max()
        if not (least <= lowest and highest <= largest):
            worst = highest if least <= lowest else lowest
            raise InputError(
                f"{path}: says {worst:g} where {least:g} to {largest:g} can be: it has learned too little, or is "
                "damaged; train it longer or on more faces, or give another network"
            )


def try_out(network) -> None:
    """Run a network of either kind, just read, on noise: if it fails or its outputs are impossible, that shows now.

    Raises:
        InputError: see `check_predictions` and `check_maps`.
    """
    shape = (2, network.policy.size, network.policy.size) if hasattr(network, "policy") else (2, 3, 64, 96)
    network(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


# The networks of keypoints that come with this package, by size: the more multiply-adds, the fewer errors.
FAMILY = {"fast": "pretrained_fast.onnx", "base": "pretrained.onnx", "large": "pretrained_large.onnx"}
FOR_PHOTOS, FOR_FILMS = "large", "base"


def shipped_network(size: str = FOR_PHOTOS) -> Path:
    """The network of keypoints of a size of `FAMILY`."""
    return _shipped(FAMILY[size])


def coarse_network_of(network: str | Path) -> Path | None:
    """The network whose first pass frames the faces for a larger one of `FAMILY`: the smallest. It takes a sixth of the
    largest's time and makes its NME 0.01 to 0.02 points worse. None: any other network frames them itself.
    """
    smallest, *others = map(shipped_network, FAMILY)
    return smallest if Path(network).resolve() in [path.resolve() for path in others] else None


def shipped_detector() -> Path:
    """The network that finds faces and comes with this package."""
    return _shipped("detector.onnx")


def _shipped(name: str) -> Path:
    """In this package when it is installed, in saved_models/ of a checkout."""
    installed = _HERE / name
    return installed if installed.is_file() else _HERE.parent / "saved_models" / name


# Where ONNX Runtime computes: its names of that by ours, and the package that has it.
PROVIDERS = {
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "coreml": ("CoreMLExecutionProvider", "onnxruntime (on a Mac)"),
    "directml": ("DmlExecutionProvider", "onnxruntime-directml (on Windows)"),
    "openvino": ("OpenVINOExecutionProvider", "onnxruntime-openvino"),
}


def open_session(path: Path, threads: int = 1, provider: str = "cpu") -> onnxruntime.InferenceSession:
    """An .onnx file in ONNX Runtime. Several threads may run it; none of its own spins while it waits.

    provider: of PROVIDERS; what it can't compute, the CPU does.

    Raises:
        InputError: the file is not there, is damaged, or can't be read; or there is no such provider here.
    """
    names = _check_provider(provider)
    if not path.is_file():
        raise InputError(f"{path}: no such network; name an .onnx file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # fatal only: errors are raised too
    try:
        content = path.read_bytes()
        if not is_intact(content):
            raise InputError(f"{path}: is damaged; copy it again, or export it again")
        if _ELSEWHERE.search(content):
            raise InputError(f"{path}: has its weights in another file; export it with them in it")
        session = onnxruntime.InferenceSession(content, options, providers=names)
    except InputError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        raise _not_for_runtime(path, error) from error
    if names[0] not in session.get_providers():  # ONNX Runtime goes on without it
        raise InputError(f"provider {provider}: doesn't start; look for its drivers and libraries, or take cpu")
    return session


def _check_provider(provider: str) -> list[str]:
    """ONNX Runtime's names of a provider and of what takes over for it.

    Raises:
        InputError: it isn't here.
    """
    here = [name for name, (known, _) in PROVIDERS.items() if known in onnxruntime.get_available_providers()]
    if provider not in PROVIDERS:
        raise InputError(f"provider {provider}: is none of {', '.join(PROVIDERS)}")
    if provider not in here:
        package = PROVIDERS[provider][1]
        raise InputError(
            f"provider {provider}: ONNX Runtime has {', '.join(here)} here; install {package} in its place"
        )
    return list(dict.fromkeys([PROVIDERS[provider][0], PROVIDERS["cpu"][0]]))


def _not_for_runtime(path: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200]
    return InputError(f"{path}: ONNX Runtime can't run it ({reason}); give another .onnx file")


# An .onnx file names a file of weights beside it under the word "location", behind that word's length, 8, whose last
# byte is 0 if it is written in more bytes than it needs. The bytes before these can be written in many ways, too.
_ELSEWHERE = re.compile(rb"[\x08\0]location")
_SEAL = b"r\x11\n\x05crc32\x12\x08"  # how an entry "crc32" of the metadata begins in a file; eight letters follow


def sealed(content: bytes) -> bytes:
    """An .onnx file's bytes, with their CRC-32 as one more entry of the metadata behind, for `is_intact`."""
    return content + _SEAL + f"{zlib.crc32(content):08x}".encode()


def is_intact(content: bytes) -> bool:
    """Whether the bytes of an .onnx file are those that `sealed` saw; files without the entry count as intact."""
    return content[-8 - len(_SEAL) : -8] != _SEAL or sealed(content[: -8 - len(_SEAL)]) == content


def _run(session: onnxruntime.InferenceSession, outputs: list[str], feed: dict, path: Path) -> list[np.ndarray]:
    try:
        return session.run(outputs, feed)
    except Exception as error:  # as above
        raise _not_for_runtime(path, error) from error


def open_exported(
    path: Path, threads: int = 1, provider: str = "cpu"
) -> tuple[onnxruntime.InferenceSession, dict[str, str]]:
    """A session of a file that export.py wrote, and the file's metadata: text by key.

    Raises:
        InputError: the file is not there, or not export.py's; see also `open_session`.
    """
    session = open_session(path, threads, provider)
    metadata = session.get_modelmeta().custom_metadata_map
    if metadata.get("face68") != FORMAT:
        raise InputError(f"{path}: is no network of this version's export.py; export its checkpoint with that")
    return session, metadata


class OnnxNetwork:
    """A network that export.py wrote, run by ONNX Runtime. Several threads may call it.

    threads: that compute one call. One is best beside other work, and for single faces.
    provider: where it computes, see `open_session`.

    `metadata`: the file's, text by key.

    Raises:
        InputError: the file is not there, or no such network.
    """

    def __init__(self, path: str | Path, threads: int = 1, provider: str = "cpu"):
        self.path = Path(path)
        self._session, self.metadata = open_exported(self.path, threads, provider)
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.predicts_errors = "errors" in self._outputs
        try:
            self.policy = CropPolicy(**json.loads(self.metadata["policy"]))
            self.scheme = scheme_from(json.loads(self.metadata.get("scheme", "null")))
            fits = self._fits()
        except (KeyError, TypeError, ValueError, RecursionError):
            fits = False
        if not fits:
            raise InputError(f"{path}: places no keypoints; give a network of keypoints")
        try_out(self)

    def _fits(self) -> bool:
        """Whether the inputs and outputs have the names and shapes that `__call__` expects."""
        size, points = self.policy.size, len(self.scheme)
        takes = [(value.name, value.type, value.shape[1:]) for value in self._session.get_inputs()]
        gives = {value.name: value.shape[1:] for value in self._session.get_outputs()}
        possible = {"keypoints": [points, 2], "errors": [points], "face_scores": [], "visible": [points]}
        return (
            takes == [("crops", "tensor(uint8)", [1, size, size])]
            and "keypoints" in gives
            and gives.items() <= possible.items()
        )

    def __call__(self, crops: np.ndarray) -> Predictions:
        """See `Network`."""
        parts = []
        for i in range(0, len(crops), BATCH):
            values = _run(self._session, self._outputs, {"crops": crops[i : i + BATCH, None]}, self.path)
            outputs = dict(zip(self._outputs, values, strict=True))
            parts.append(Predictions(*(outputs.get(field) for field in Predictions._fields)))
        return check_predictions(concatenated(parts), len(crops), self.path, len(self.scheme))


class OnnxDetector:
    """A network that finds faces, as export.py wrote it, run by ONNX Runtime. Several threads may call it.

    `multiple`: of which a picture's height and width are multiples, px.
    `metadata`: the file's, text by key.

    Raises:
        InputError: the file is not there, or no such network.
    """

    multiple = 32

    def __init__(self, path: str | Path, threads: int = 1, provider: str = "cpu"):
        self.path = Path(path)
        self._session, self.metadata = open_exported(self.path, threads, provider)
        if {output.name for output in self._session.get_outputs()} != {"scores", "faces"}:
            raise InputError(f"{path}: finds no faces; give a detector")
        try_out(self)

    def __call__(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """pictures: (B, 3, H, W) uint8 RGB.

        Returns:
            Of each cell of 8×8 px the probability that a face has its centre there, (B, H/8, W/8) float32; and of that
            face x and y of the centre, the side of the square around its level 68 points, in px, and x and y of the
            direction from its right eye to its left one, (B, 5, H/8, W/8) float32.
        """
        maps = _run(self._session, ["scores", "faces"], {"pictures": pictures}, self.path)
        return check_maps(tuple(maps), pictures.shape, self.path)
