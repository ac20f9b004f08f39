"""Which trained network a command runs, and the object that runs it. Exported networks need no torch."""

import json
from collections.abc import Sequence
from pathlib import Path

from face68.detect import Given, open_detector
from face68.files import InputError, sha256
from face68.landmarker import PASSES, Landmarker
from face68.landmarks import IBUG68
from face68.measures import check_maps
from face68.network import FAMILY, FOR_PHOTOS, Network, OnnxNetwork, coarse_network_of, shipped_network
from face68.schemes import Scheme

DRAWN = ("data", "sample")  # folders of the drawn faces in any checkout
SAVED_MODELS = Path(__file__).resolve().parent.parent / "saved_models"
BEST = SAVED_MODELS / "best.pt"
OWN_DETECTOR = SAVED_MODELS / "detector" / "best.onnx"
SAMPLE_RUN = SAVED_MODELS.parent / "runs" / "sample"  # networks of drawn faces, never the default


def default_network(size: str = FOR_PHOTOS) -> Path:
    """The user's network if there is one (`best.onnx` if made from `best.pt`), else the shipped one of that size."""
    exported = BEST.with_suffix(".onnx")
    if not BEST.is_file():
        return exported if exported.is_file() else shipped_network(size)
    return exported if exported.is_file() and _was_made_from(BEST, exported) else BEST


def default_checkpoint() -> Path:
    """The user's `best.pt` if there is one, else the shipped base: for commands that need a checkpoint."""
    return BEST if BEST.is_file() else SAVED_MODELS / "pretrained.pt"


def default_detector(name: str = "auto", scheme: Scheme = IBUG68) -> str | Path:
    """The detector that an option names, for `detect.open_detector`: for a scheme with eyes, "auto" is the user's own
    if there is one.
    """
    return OWN_DETECTOR if name == "auto" and scheme.eyes and OWN_DETECTOR.is_file() else name


def _was_made_from(checkpoint: Path, exported: Path) -> bool:
    try:
        return OnnxNetwork(exported).metadata.get("checkpoint_sha256") == sha256(checkpoint)
    except InputError:  # damaged: the checkpoint will do
        return False


def file_of(name: str | Path, suffix: str = ".onnx") -> Path:
    """The file of a network that an option names: by its path, or by a size of `FAMILY` (shipped as .onnx and .pt).

    Raises:
        InputError: there is no such network.
    """
    if Path(name).exists():
        return Path(name)
    if str(name) in FAMILY:
        return shipped_network(str(name)).with_suffix(suffix)
    *others, last = FAMILY
    raise InputError(f"{name}: no such network; give {', '.join(others)} or {last}, or a file that train.py wrote")


def chosen_network(checkpoint: Path | None, size: str = FOR_PHOTOS) -> Path:
    """The file that --checkpoint names, else `default_network`."""
    return default_network(size) if checkpoint is None else file_of(checkpoint)


def network_label(network: Network) -> str:
    """The words for a network in a log: the size of a shipped one, the file, a warning if it fails on photos."""
    sizes = [size for size in FAMILY if shipped_network(size).resolve() == network.path.resolve()]
    line = f"{sizes[0]}, {network.path}" if sizes else str(network.path)
    return f"{line}: trained on the drawn sample, rough on photos" if _is_of_drawings(network) else line


def _is_of_drawings(network: Network) -> bool:
    """Whether a network was trained from random weights on nothing but the drawn sample, by its file's arguments."""
    try:
        if isinstance(network, OnnxNetwork):
            arguments = json.loads(network.metadata["arguments"])
        else:
            arguments = network.checkpoint["arguments"]
        folders = {Path(folder).parts[-2:] for folder in arguments["data"]}
        return not arguments["init"] and folders == {DRAWN}
    except (KeyError, TypeError, ValueError, RecursionError):  # a file that another program wrote
        return False


def open_network(path: str | Path, threads: int = 1, device: str = "cpu", provider: str = "cpu") -> Network:
    """Open a network's file: an .onnx in ONNX Runtime by one of its providers, a .pt in torch on a device.

    threads: processor threads that it computes in; torch has one number for the whole process, which is set.

    Raises:
        InputError: the file is missing, or holds no such network; or a .pt is to run by another provider than the CPU.
    """
    if Path(path).suffix.lower() == ".onnx":
        return OnnxNetwork(path, threads, provider)
    if provider != "cpu":
        raise InputError(f"{path}: runs in PyTorch, by no provider of ONNX Runtime; make it an .onnx with export.py")
    import torch  # here, because its import takes longer than a photo

    from training.checkpoint import TorchNetwork

    torch.set_num_threads(threads)
    return TorchNetwork(path, device)


def open_coarse_network(path: str | Path, threads: int = 1, provider: str = "cpu") -> Network | None:
    """The network that frames faces in the first pass for another one, see `coarse_network_of`."""
    coarse_network = coarse_network_of(path)
    return None if coarse_network is None else open_network(coarse_network, threads, provider=provider)


def check_points(scheme: Scheme, args) -> None:
    """See that a network's points are of use for the options of a command.

    Raises:
        InputError: one of them needs iBUG's 68.
    """
    for option in ("measures", "overlay", "align"):
        if getattr(args, option, None):
            check_maps(scheme, f"--{option}")


def open_landmarker(network: Path, args, boxes: Sequence | None = None, passes: int = PASSES) -> Landmarker:
    """The landmarker of a command, by the options of `arguments.add_finding`; `boxes` take the detector's place."""
    opened = open_network(network, args.threads, provider=args.provider)
    name = default_detector(args.detector, opened.scheme)
    return Landmarker(
        opened,
        Given(boxes) if boxes else open_detector(name, args.min_face, args.provider, opened.scheme),
        args.min_face_score,
        passes,
        args.largest,
        open_coarse_network(network, args.threads, args.provider),
    )
