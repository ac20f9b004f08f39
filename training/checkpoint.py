"""Checkpoints that describe themselves: the network's name and options, its weights and its crop policy; and what runs
one.

A checkpoint is a dict of plain values and tensors, so `torch.load(..., weights_only=True)` reads it and nothing in
it can run code. Written to a temporary name first: a crash never leaves half a file under the real name. Read, it is
looked at before it may take memory or time: see `load_checkpoint` and `build_model`.
"""

import io
import subprocess
import warnings
import zipfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from face68.files import InputError, atomic_path
from face68.geometry import CropPolicy
from face68.network import BATCH, Predictions, check_maps, check_predictions, concatenated, try_out
from models import PixelDetector, PixelOutputs, create_model, finds_faces, predicts_errors


def git_commit() -> str:
    """The commit of this checkout, with "+" where files differ from it; "unknown" outside of a git checkout."""
    command = [
        "git",
        "-C",
        str(Path(__file__).resolve().parent),
        "describe",
        "--always",
        "--dirty=+",
        "--abbrev=12",
    ]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def describe_versions() -> dict[str, str]:
    """What made a checkpoint: library versions and the git commit."""
    # The modules' own word, since cv2 comes from any of four distributions.
    versions = {"torch": str(torch.__version__), "numpy": np.__version__, "opencv": cv2.__version__}
    return versions | {"git_commit": git_commit()}


def save_checkpoint(path: str | Path, checkpoint: dict) -> None:
    """Write a checkpoint whole or not at all.

    Keys that every one has: model (its name), options, weights, epoch, metrics, arguments, versions. One of keypoints
    has policy, how faces are cropped for it.
    """
    content = io.BytesIO()
    torch.save(checkpoint, content)  # torch's own writing to files doesn't tell a full disk from a fault of ours
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())


# What every checkpoint holds, by key.
KINDS = {
    "model": str,
    "options": dict,
    "weights": dict,
    "epoch": int,
    "metrics": dict,
    "arguments": dict,
    "versions": dict,
}
MOST_VALUES, MOST_OPTIONS = 100_000, 100  # in a checkpoint, and among its network's options; ours have 1,000 and 6


def load_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint onto the CPU: bytes as they were written, values of the right kinds, no more than the file has
    room for. Whether they make sense is for those to say who use them.

    Raises:
        InputError: there is none, the file is damaged, or something else.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such checkpoint; train one (python train.py --epochs 30) or name another")
    try:
        _check_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tensors that are refused then
            _check_kinds(torch.load(path, map_location="meta", weights_only=True), Path(path).stat().st_size)
        return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # torch and zipfile raise many kinds for bytes that are no checkpoint
        raise InputError(f"{path}: not a checkpoint ({type(error).__name__}); give a .pt of train.py") from error


def _check_archive(path: str | Path) -> None:
    """See that a zip file is one as torch writes them, nothing in it is compressed, and all is as it was written: their
    CRC-32 is for the reader to look at, which torch doesn't.

    Raises:
        InputError: something is damaged, or larger than the file.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        distinct = len({entry.filename for entry in entries}) == len(entries)
        if not (stored and distinct and sum(entry.file_size for entry in entries) <= Path(path).stat().st_size):
            raise InputError(f"{path}: isn't packed as torch does; give a checkpoint that train.py wrote")
        try:
            damaged = archive.testzip()
        except (EOFError, zipfile.BadZipFile):
            damaged = True
    if damaged:
        raise InputError(f"{path}: is damaged; copy it again, or train anew")


def _check_kinds(checkpoint: object, room: int) -> None:
    """See that a checkpoint is a dict of `KINDS`, in it plain values and tensors of at most `room` bytes. It may lie on
    the meta device, where a tensor has a size and takes no memory.

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
    deque(_values(checkpoint["options"], MOST_OPTIONS), maxlen=0)


def _values(of: object, most: int) -> Iterator[object]:
    """All values in nested containers, and these. One list may stand in a million places.

    Raises:
        ValueError: there are more than `most`.
    """
    waiting, seen = [of], 0
    while waiting:
        value, seen = waiting.pop(), seen + 1
        if isinstance(value, dict | list | tuple):
            waiting += value.values() if isinstance(value, dict) else value
        if seen + len(waiting) > most:
            raise ValueError(f"more than {most} values")
        yield value


def check_finite(values: object, path: str | Path, remedy: str = "train it again") -> None:
    """See that all numbers of all tensors in nested containers are finite.

    Raises:
        InputError: one isn't.
    """
    tensors = [value for value in _values(values, MOST_VALUES) if isinstance(value, Tensor)]
    if not all(tensor.isfinite().all() for tensor in tensors):
        raise InputError(f"{path}: holds numbers that aren't finite; {remedy}")


def build_model(checkpoint: dict, path: str | Path) -> nn.Module:
    """The checkpoint's network in evaluation mode.

    Its sizes are compared with the weights' before it takes memory.

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
    """The network that a checkpoint is of, with other weights. Those of earlier versions name no annotators."""
    annotators = checkpoint.get("annotators", [])
    if not (isinstance(annotators, list) and all(isinstance(name, str) for name in annotators)):
        raise ValueError("annotators that have no names")
    return create_model(checkpoint["model"], annotators, **checkpoint["options"])


def start_from(model: nn.Module, checkpoint: dict, path: str | Path) -> str:
    """Give a network a checkpoint's weights, layer by layer: those of which all tensors are there and of its shape.

    `calibration` stays as it was: it belongs to what the checkpoint's network says of itself in the end.

    Returns:
        The other layers' names, in a line; "" where all fit.

    Raises:
        InputError: none fits.
    """
    own, given = model.state_dict(), checkpoint["weights"]
    if model.annotators is not None and list(model.annotators.names) != checkpoint.get("annotators"):
        given = {name: tensor for name, tensor in given.items() if not name.startswith("annotators.")}  # of others
    layers: dict[str, list[str]] = {}
    for name in own:
        if name != "calibration":
            layers.setdefault(name.rpartition(".")[0] or name, []).append(name)
    anew = [
        layer
        for layer, names in layers.items()
        if not all(name in given and given[name].shape == own[name].shape for name in names)
    ]
    if len(anew) == len(layers):
        raise InputError(f"{path}: no layer fits --model {model.name}; it is a checkpoint of {checkpoint['model']}")
    fitting = {name: given[name] for layer in layers if layer not in anew for name in layers[layer]}
    model.load_state_dict(fitting, strict=False)
    return ", ".join(anew)


def _check_sizes(checkpoint: dict) -> None:
    """See that the weights have the sizes of the network's own, which takes no memory on the meta device.

    Raises:
        ValueError, RuntimeError or whatever its constructor raises: they haven't.
    """
    if any(tensor.is_complex() for tensor in checkpoint["weights"].values()):
        raise ValueError("complex weights")
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of networks that are refused then
            model = _create(checkpoint)
    except (RuntimeError, TypeError) as error:
        if "meta" not in str(error):
            raise
        return  # a network that computes while it is made can't be made without numbers
    needed, given = (
        {name: tensor.shape for name, tensor in weights.items()}
        for weights in (model.state_dict(), checkpoint["weights"])
    )
    wrong = [str(name) for name in needed | given if needed.get(name) != given.get(name)]
    if wrong:
        raise ValueError(f"{len(wrong)} weights are missing or of other sizes, {wrong[0]} among them")


def misfit(path: str | Path, error: Exception) -> InputError:
    reason = str(error).partition("\n")[0][:200]
    return InputError(f"{path}: does not fit this version of models.py ({reason}); train it again")


class TorchNetwork:
    """A checkpoint's network run by torch: what prediction takes in an exported file's place, see face68/network.py.

    device: where it runs, as torch names it.

    `checkpoint` is what the file holds, but for the weights.

    Raises:
        InputError: the checkpoint can't be used.
    """

    def __init__(self, path: str | Path, device: str | torch.device = "cpu"):
        self.path, self.device = Path(path), device
        self.checkpoint = load_checkpoint(path)
        model = build_model(self.checkpoint, path)
        if finds_faces(self.checkpoint["model"]):
            raise InputError(f"{path}: places no keypoints, it finds faces; give a network of keypoints")
        try:
            self.policy = CropPolicy(**self.checkpoint["policy"])
        except (KeyError, TypeError, ValueError) as error:
            raise misfit(path, error) from error
        self.predicts_errors = predicts_errors(self.checkpoint["model"])
        self.annotators = {} if model.annotators is None else model.annotators.learned()
        self.model = PixelOutputs(model, self.policy.size).to(device).eval()
        del self.checkpoint["weights"]
        try:
            try_out(self)
        except RuntimeError as error:  # its crops are of another size than the network takes
            raise misfit(path, error) from error

    @torch.inference_mode()
    def __call__(self, crops: np.ndarray) -> Predictions:
        """crops: (B, S, S) uint8 gray."""
        parts = []
        for part in torch.from_numpy(crops)[:, None].split(BATCH):
            said = [values.cpu().numpy() for values in self.model(part.to(self.device))]
            parts.append(Predictions(*said, *[None] * (3 - len(said))))
        return check_predictions(concatenated(parts), len(crops), self.path)


class TorchDetector:
    """A checkpoint's detector run by torch on the CPU, as `face68.network.OnnxDetector` runs an exported one.

    `checkpoint` is what the file holds, but for the weights.

    Raises:
        InputError: the checkpoint can't be used.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.checkpoint = load_checkpoint(path)
        model = build_model(self.checkpoint, path)
        if not finds_faces(self.checkpoint["model"]):
            raise InputError(f"{path}: finds no faces, it places keypoints; give a detector")
        self.model = PixelDetector(model).eval()
        del self.checkpoint["weights"]
        try_out(self)

    @torch.inference_mode()
    def __call__(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `OnnxDetector`."""
        maps = tuple(values.numpy() for values in self.model(torch.from_numpy(pictures)))
        return check_maps(maps, pictures.shape, self.path)
