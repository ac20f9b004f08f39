"""Checkpoints that describe themselves: the network's name and options, its weights and its crop policy; and what runs
one.

A checkpoint is a dict of plain values and tensors, so `torch.load(..., weights_only=True)` reads it and nothing in
it can run code. Written to a temporary name first: a crash never leaves half a file under the real name.
"""

import subprocess
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from face68.files import InputError, atomic_path
from face68.geometry import CropPolicy
from face68.network import BATCH, Outputs, join_outputs
from models import PixelMaps, PixelOutputs, create_model, finds_faces, predicts_errors


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
    with atomic_path(path) as temporary:
        torch.save(checkpoint, temporary)


def load_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint onto the CPU.

    Raises:
        InputError: there is none, or the file is something else.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such checkpoint; train one (python train.py --epochs 30) or name another")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for bytes that are no checkpoint
        raise InputError(f"{path}: not a checkpoint ({type(error).__name__}); give a .pt of train.py") from error
    missing = {"model", "options", "weights"} - set(checkpoint if isinstance(checkpoint, dict) else ())
    if missing:
        raise InputError(f"{path}: lacks {', '.join(sorted(missing))}; give a checkpoint that train.py wrote")
    return checkpoint


def build_model(checkpoint: dict, path: str | Path) -> nn.Module:
    """The checkpoint's network in evaluation mode.

    Raises:
        InputError: the weights don't belong to the network that it names.
    """
    try:
        model = create_model(checkpoint["model"], **checkpoint["options"])
        model.load_state_dict(checkpoint["weights"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise misfit(path, error) from error
    return model.eval()


def start_from(model: nn.Module, checkpoint: dict, path: str | Path) -> str:
    """Give a network a checkpoint's weights, layer by layer: those of which all tensors are there and of its shape.

    `calibration` stays as it was: it belongs to what the checkpoint's network says of itself in the end.

    Returns:
        The other layers' names, in a line; "" where all fit.

    Raises:
        InputError: none fits.
    """
    own, given = model.state_dict(), checkpoint["weights"]
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


def misfit(path: str | Path, error: Exception) -> InputError:
    reason = str(error).splitlines()[0]
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
        self.model = PixelOutputs(model, self.policy.size).to(device).eval()
        del self.checkpoint["weights"]

    @torch.inference_mode()
    def __call__(self, crops: np.ndarray) -> Outputs:
        """crops: (B, S, S) uint8 gray."""
        parts = []
        for part in torch.from_numpy(crops)[:, None].split(BATCH):
            said = [values.cpu().numpy() for values in self.model(part.to(self.device))]
            parts.append(Outputs(*said, *[None] * (3 - len(said))))
        return join_outputs(parts)


class TorchMaps:
    """A checkpoint's detector run by torch on the CPU, as `face68.network.OnnxMaps` runs an exported one.

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
        self.model = PixelMaps(model).eval()
        del self.checkpoint["weights"]

    @torch.inference_mode()
    def __call__(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `OnnxMaps`."""
        return tuple(values.numpy() for values in self.model(torch.from_numpy(pictures)))
