"""Checkpoints, which describe themselves, and what runs their networks.

A checkpoint is a dict of plain values and tensors: `torch.load(..., weights_only=True)` reads it and no code in it can
run. It is written to a temporary name first, so a crash never leaves half a file. It may come from strangers: before
its values take memory or time they are checked, see `load_checkpoint` and `build_model`.
"""

import io
import subprocess
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from face68.files import InputError, atomic_path
from face68.geometry import CropPolicy
from face68.landmarks import scheme_from
from face68.network import BATCH, Predictions, check_maps, check_predictions, concatenated, try_out
from models import MODELS, PixelDetector, PixelOutputs, create_model, finds_faces, predicts_errors

# What every checkpoint holds, by key. Of keypoints also `policy` (how faces are cropped), `annotators`, and `scheme`,
# which those before schemes lack.
KINDS = {"model": str, "epoch": int}
KINDS |= dict.fromkeys(("options", "weights", "metrics", "arguments", "versions"), dict)
MOST_VALUES, MOST_OPTIONS = 100_000, 100  # in a checkpoint, and in its options; ours have 1,000 and 6


def git_commit() -> str:
    """The commit of this checkout, with "+" if files differ from it; "unknown" outside of a git checkout."""
    options = ("describe", "--always", "--dirty=+", "--abbrev=12")
    command = ["git", "-C", str(Path(__file__).resolve().parent), *options]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def describe_versions() -> dict[str, str]:
    """Library versions and the git commit, for a checkpoint."""
    # From the modules: cv2 comes from any of four distributions.
    versions = {"torch": str(torch.__version__), "numpy": np.__version__, "opencv": cv2.__version__}
    return versions | {"git_commit": git_commit()}


def save_checkpoint(path: str | Path, checkpoint: dict) -> None:
    """Write a checkpoint, see `KINDS`, whole or not at all."""
    content = io.BytesIO()
    torch.save(checkpoint, content)  # not to a file: torch reports a full disk as an error of its own
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint onto the CPU. Its bytes are undamaged, its values of the right kinds and no larger than the
    file; whether they make sense is checked where they are used.

    Raises:
        InputError: the file is missing, damaged, or no checkpoint.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such checkpoint; train one (python train.py --epochs 30) or name another")
    try:
        _check_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about tensors that are refused next
            _check_kinds(torch.load(path, map_location="meta", weights_only=True), Path(path).stat().st_size)
        return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # torch and zipfile raise many kinds for bytes that are no checkpoint
        raise InputError(f"{path}: not a checkpoint ({type(error).__name__}); give a .pt of train.py") from error


def _check_archive(path: str | Path) -> None:
    """Check that a zip file is uncompressed and no larger unpacked, as torch writes them, and its CRC-32 checksums,
    which torch doesn't check.

    Raises:
        InputError: it isn't, or an entry is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        is_stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        is_distinct = len({entry.filename for entry in entries}) == len(entries)
        if not (is_stored and is_distinct and sum(entry.file_size for entry in entries) <= Path(path).stat().st_size):
            raise InputError(f"{path}: isn't packed as torch does; give a checkpoint that train.py wrote")
        try:
            is_damaged = archive.testzip() is not None
        except (EOFError, zipfile.BadZipFile):
            is_damaged = True
    if is_damaged:
        raise InputError(f"{path}: is damaged; copy it again, or train anew")


def _check_kinds(checkpoint: object, room: int) -> None:
    """Check that a checkpoint is a dict of `KINDS`, with plain values and tensors of at most `room` bytes each. On the
    meta device its tensors have sizes but take no memory.

    Raises:
        ValueError: it isn't.
    """
    for value in _values(checkpoint, MOST_VALUES):
        if isinstance(value, Tensor):
            if value.layout != torch.strided or value.numel() * value.element_size() > room:
                raise ValueError("a tensor of a strange form")
        elif not isinstance(value, dict | list | tuple | str | int | float | None):
            raise ValueError(f"a {type(value).__name__} in it")
    wrong = [key for key, kind in KINDS.items() if not isinstance(checkpoint.get(key), kind)]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} missing or wrong")
    list(_values(checkpoint["options"], MOST_OPTIONS))


def _values(of: object, most: int) -> Iterator[object]:
    """All values in nested containers, and the containers. (A file can name one list in a million positions.)

    Raises:
        ValueError: there are more than `most`.
    """
    waiting, count = [of], 0
    while waiting:
        value, count = waiting.pop(), count + 1
        if isinstance(value, dict | list | tuple):
            waiting += value.values() if isinstance(value, dict) else value
        if count + len(waiting) > most:
            raise ValueError(f"more than {most} values")
        yield value


def check_finite(values: object, path: str | Path, remedy: str = "train it again") -> None:
    """Check that all tensors in nested containers are finite.

    Raises:
        InputError: one isn't.
    """
    if not all(value.isfinite().all() for value in _values(values, MOST_VALUES) if isinstance(value, Tensor)):
        raise InputError(f"{path}: holds numbers that aren't finite; {remedy}")


def build_model(checkpoint: dict, path: str | Path) -> nn.Module:
    """The checkpoint's network in evaluation mode. Its sizes are compared with the weights' before it takes memory.

    Raises:
        InputError: the weights don't belong to the network that it names, or aren't finite.
    """
    check_finite(checkpoint["weights"], path)
    try:
        _check_sizes(checkpoint)
        model = _create(checkpoint)
        model.load_state_dict(checkpoint["weights"])
    except Exception as error:  # a network that somebody added may raise anything
        raise misfit(path, error) from error
    return model.eval()


def _create(checkpoint: dict) -> nn.Module:
    """The network that a checkpoint names, with initial weights."""
    annotators = checkpoint.get("annotators", [])  # a detector has none
    if not (isinstance(annotators, list) and all(isinstance(name, str) for name in annotators)):
        raise ValueError("annotators that have no names")
    return create_model(checkpoint["model"], annotators, scheme_from(checkpoint.get("scheme")), **checkpoint["options"])


def _check_sizes(checkpoint: dict) -> None:
    """Compare the weights' sizes with those of the network on the meta device, where it takes no memory.

    Raises:
        ValueError, or any error of its constructor: they differ.
    """
    weights = checkpoint["weights"]
    if any(tensor.is_complex() for tensor in weights.values()):
        raise ValueError("complex weights")
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about networks that are refused next
            needed = _create(checkpoint).state_dict()
    except (RuntimeError, TypeError) as error:
        if "meta" not in str(error):
            raise
        return  # its constructor computes with numbers, which the meta device doesn't have
    needed, given = ({name: tensor.shape for name, tensor in one.items()} for one in (needed, weights))
    wrong = [str(name) for name in needed | given if needed.get(name) != given.get(name)]
    if wrong:
        raise ValueError(f"{len(wrong)} weights are missing or of other sizes, {wrong[0]} among them")


def misfit(path: str | Path, error: Exception) -> InputError:
    reason = str(error).partition("\n")[0][:200]
    return InputError(f"{path}: does not fit this version of models.py ({reason}); train it again")


def start_from(model: nn.Module, checkpoint: dict, path: str | Path) -> str:
    """Give a network a checkpoint's weights, for fine-tuning: those of each layer whose tensors all have equal shapes.

    `calibration` isn't taken over; it is fitted after training. Nor are offsets that were learned of other annotators.

    Returns:
        The names of the layers that keep their initial weights, in a line; "" if there are none.

    Raises:
        InputError: no layer fits.
    """
    own, given = model.state_dict(), checkpoint["weights"]
    if model.annotators is not None and list(model.annotators.names) != checkpoint.get("annotators"):
        given = {name: tensor for name, tensor in given.items() if not name.startswith("annotators.")}
    layers: dict[str, list[str]] = {}  # by their names the names of their tensors
    for name in own:
        if name != "calibration":
            layers.setdefault(name.rpartition(".")[0] or name, []).append(name)

    def fits(name: str) -> bool:
        return name in given and given[name].shape == own[name].shape

    anew = [layer for layer, names in layers.items() if not all(map(fits, names))]
    if len(anew) == len(layers):
        raise InputError(f"{path}: no layer fits --model {model.name}; it is a checkpoint of {checkpoint['model']}")
    fitting = {name: given[name] for layer in layers if layer not in anew for name in layers[layer]}
    model.load_state_dict(fitting, strict=False)
    return ", ".join(anew)


class TorchNetwork:
    """A checkpoint's network in torch: a `face68.network.Network`, as an exported file is.

    device: where it runs, as torch names it.

    `checkpoint` is the file's content without the weights.

    Raises:
        InputError: the checkpoint can't be used.
    """

    def __init__(self, path: str | Path, device: str | torch.device = "cpu"):
        self.path, self.device = Path(path), device
        self.checkpoint, model = _open(path)
        if finds_faces(self.checkpoint["model"]):
            raise InputError(f"{path}: places no keypoints, it finds faces; give a network of keypoints")
        try:
            self.policy = CropPolicy(**self.checkpoint["policy"])
            self.scheme = scheme_from(self.checkpoint.get("scheme"))
        except (KeyError, TypeError, ValueError) as error:
            raise misfit(path, error) from error
        self.predicts_errors = predicts_errors(self.checkpoint["model"])
        self.annotators = {} if model.annotators is None else model.annotators.learned()
        self.model = PixelOutputs(model, self.policy.size, len(self.scheme)).to(device).eval()
        try:
            try_out(self)
        except RuntimeError as error:  # its crops are of another size than the network takes
            raise misfit(path, error) from error

    @torch.inference_mode()
    def __call__(self, crops: np.ndarray) -> Predictions:
        """crops: (B, S, S) uint8 gray."""
        parts = []
        for part in torch.from_numpy(crops)[:, None].split(BATCH):
            outputs = [values.cpu().numpy() for values in self.model(part.to(self.device))]
            parts.append(Predictions(*outputs, *[None] * (3 - len(outputs))))
        return check_predictions(concatenated(parts), len(crops), self.path, len(self.scheme))


class TorchDetector:
    """A checkpoint's detector in torch on the CPU; called as a `face68.network.OnnxDetector` is.

    `checkpoint` is the file's content without the weights.

    Raises:
        InputError: the checkpoint can't be used.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.checkpoint, model = _open(path)
        if not finds_faces(self.checkpoint["model"]):
            raise InputError(f"{path}: finds no faces, it places keypoints; give a detector")
        self.model = PixelDetector(model).eval()
        try_out(self)

    @torch.inference_mode()
    def __call__(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        maps = tuple(values.numpy() for values in self.model(torch.from_numpy(pictures)))
        return check_maps(maps, pictures.shape, self.path)


def _open(path: str | Path) -> tuple[dict, nn.Module]:
    """A checkpoint's content without its weights, and its network."""
    checkpoint = load_checkpoint(path)
    model = build_model(checkpoint, path)
    del checkpoint["weights"]
    return checkpoint, model


def open_checkpoint(path: str | Path) -> TorchNetwork | TorchDetector:
    """A checkpoint's network in torch, of either kind.

    Raises:
        InputError: the checkpoint can't be used.
    """
    name = load_checkpoint(path)["model"]
    return (TorchDetector if name in MODELS and finds_faces(name) else TorchNetwork)(path)
