"""What runs a network: gray crops in, arrays out. Exported files say of themselves all that running them takes.

`OnnxNetwork` runs what export.py wrote, in ONNX Runtime. Any other `Network` will do in its place, as
`TorchNetwork` at the root does for a checkpoint that is being trained. `OnnxMaps` runs a network that finds faces.
"""

import contextlib
import json
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import onnxruntime

from face68.files import InputError
from face68.geometry import CropPolicy
from face68.landmarks import NUM_LANDMARKS

FORMAT = "1"  # of the metadata, under "face68"; a file of another format is refused
BATCH = 64  # crops at once; more is no faster and takes more memory
_HERE = Path(__file__).resolve().parent


class Outputs(NamedTuple):
    """What a network says about B crops; the last two are None where it doesn't judge its own work.

    keypoints: (B, 68, 2) float32 px of the crop, x before y.
    errors: (B, 68) float32, each point's expected distance from the truth, in px of the crop.
    face_scores: (B,) float32 in 0 … 1, how surely the crop shows an upright face.
    """

    keypoints: np.ndarray
    errors: np.ndarray | None
    face_scores: np.ndarray | None


class Network(Protocol):
    """What predicts.

    policy: how faces are cropped for it.
    path: the file that it comes from.
    predicts_errors: whether it judges its own work, see `Outputs`.
    """

    policy: CropPolicy
    path: Path
    predicts_errors: bool

    def __call__(self, crops: np.ndarray) -> Outputs:
        """crops: (B, S, S) uint8 gray, B ≥ 1."""
        ...


def is_exported(path: str | Path) -> bool:
    """Whether a file is a network that export.py wrote."""
    for kind in (OnnxNetwork, OnnxMaps):
        with contextlib.suppress(InputError):
            kind(path)
            return True
    return False


def join_outputs(parts: list[Outputs]) -> Outputs:
    """What was said about several batches as if about one."""
    if len(parts) == 1:
        return parts[0]
    return Outputs(*(None if field[0] is None else np.concatenate(field) for field in zip(*parts, strict=True)))


def shipped_network() -> Path:
    """The network of keypoints that comes with this package."""
    return _shipped("pretrained.onnx")


def shipped_detector() -> Path:
    """The network that finds faces and comes with this package."""
    return _shipped("detector.onnx")


def _shipped(name: str) -> Path:
    """In this package when it is installed, in saved_models/ of a checkout."""
    installed = _HERE / name
    return installed if installed.is_file() else _HERE.parent / "saved_models" / name


def open_session(path: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    """An .onnx file in ONNX Runtime on the CPU. Several threads may run it; none of its own spins while it waits.

    Raises:
        InputError: the file is not there, or can't be read.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such network; name an .onnx file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # fatal only: what goes wrong is raised too
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: ONNX Runtime can't read it ({reason}); give another .onnx file") from error


def open_exported(path: Path, threads: int = 1) -> tuple[onnxruntime.InferenceSession, dict[str, str]]:
    """What runs a file that export.py wrote, and what the file says of itself: text by key.

    Raises:
        InputError: the file is not there, or something else.
    """
    session = open_session(path, threads)
    metadata = session.get_modelmeta().custom_metadata_map
    if metadata.get("face68") != FORMAT:
        raise InputError(f"{path}: is no network of this version's export.py; export its checkpoint with that")
    return session, metadata


class OnnxNetwork:
    """A network that export.py wrote, run by ONNX Runtime on the CPU. Several threads may call it.

    threads: that compute one call. One is best beside other work, and for single faces; none of them spins while it
        waits.

    `metadata` is what the file says of itself: text by key.

    Raises:
        InputError: the file is not there, or no such network.
    """

    def __init__(self, path: str | Path, threads: int = 1):
        self.path = Path(path)
        self._session, self.metadata = open_exported(self.path, threads)
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.predicts_errors = "errors" in self._outputs
        try:
            self.policy = CropPolicy(**json.loads(self.metadata["policy"]))
            fits = self._fits()
        except (KeyError, TypeError, ValueError):
            fits = False
        if not fits:
            raise InputError(f"{path}: places no keypoints; give a network of keypoints")

    def _fits(self) -> bool:
        """Whether inputs and outputs are what `__call__` takes them for."""
        size = self.policy.size
        takes = [(value.name, value.type, value.shape[1:]) for value in self._session.get_inputs()]
        gives = {value.name: value.shape[1:] for value in self._session.get_outputs()}
        possible = {"keypoints": [NUM_LANDMARKS, 2], "errors": [NUM_LANDMARKS], "face_scores": []}
        return (
            takes == [("crops", "tensor(uint8)", [1, size, size])]
            and "keypoints" in gives
            and gives.items() <= possible.items()
        )

    def __call__(self, crops: np.ndarray) -> Outputs:
        """See `Network`."""
        parts = []
        for i in range(0, len(crops), BATCH):
            values = self._session.run(self._outputs, {"crops": crops[i : i + BATCH, None]})  # (B, 1, S, S)
            said = dict(zip(self._outputs, values, strict=True))
            parts.append(Outputs(said["keypoints"], said.get("errors"), said.get("face_scores")))
        return join_outputs(parts)


class OnnxMaps:
    """A network that finds faces, as export.py wrote it, run by ONNX Runtime on the CPU. Several threads may call it.

    `multiple`: what height and width of a picture are multiples of, px.
    `metadata` is what the file says of itself: text by key.

    Raises:
        InputError: the file is not there, or no such network.
    """

    multiple = 32

    def __init__(self, path: str | Path, threads: int = 1):
        self.path = Path(path)
        self._session, self.metadata = open_exported(self.path, threads)
        if {output.name for output in self._session.get_outputs()} != {"scores", "faces"}:
            raise InputError(f"{path}: finds no faces; give a detector")

    def __call__(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """pictures: (B, 3, H, W) uint8 RGB.

        Returns:
            Of each cell of 8×8 px how surely a face has its centre there, (B, H/8, W/8) float32 in 0 … 1; and of that
            face x and y of the centre, the side of the square around its level 68 points, in px, and x and y of the
            direction from its right eye to its left one, (B, 5, H/8, W/8) float32.
        """
        return tuple(self._session.run(["scores", "faces"], {"pictures": pictures}))
