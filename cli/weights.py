"""Which trained network a command runs, and what runs it. Without torch, for those who run an exported one."""

import json
from collections.abc import Sequence
from pathlib import Path

from face68.detect import Given, open_detector
from face68.files import InputError, sha256
from face68.landmarker import PASSES, Landmarker
from face68.network import FAMILY, FOR_PHOTOS, Network, OnnxNetwork, coarse_network_of, shipped_network

DRAWN = ("data", "sample")  # where the drawn faces lie in any checkout
SAVED_MODELS = Path(__file__).resolve().parent.parent / "saved_models"
BEST = SAVED_MODELS / "best.pt"
OWN_DETECTOR = SAVED_MODELS / "detector" / "best.onnx"
SAMPLE_RUN = SAVED_MODELS.parent / "runs" / "sample"  # of networks of drawn faces, which nothing takes for photos


def default_network(size: str = FOR_PHOTOS) -> Path:
    """The user's own network where there is one, `best.onnx` if it was made from `best.pt`, else the shipped one of a
    size of `FAMILY`.
    """
    exported = BEST.with_suffix(".onnx")
    if not BEST.is_file():
        return exported if exported.is_file() else shipped_network(size)
    return exported if exported.is_file() and _was_made_from(BEST, exported) else BEST


def default_checkpoint() -> Path:
    """The user's own `best.pt` where there is one, else the shipped base: for what an exported file can't do."""
    return BEST if BEST.is_file() else SAVED_MODELS / "pretrained.pt"


def default_detector(name: str = "auto") -> str | Path:
    """What `face68.detect.open_detector` takes for a name: for "auto" the user's own where there is one."""
    return OWN_DETECTOR if name == "auto" and OWN_DETECTOR.is_file() else name


def _was_made_from(checkpoint: Path, exported: Path) -> bool:
    try:
        return OnnxNetwork(exported).metadata.get("checkpoint_sha256") == sha256(checkpoint)
    except InputError:  # damaged, or of another version: the checkpoint will do
        return False


def file_of(name: str | Path, suffix: str = ".onnx") -> Path:
    """A network's file by what an option says: that, or a size of `FAMILY`, of which there is an .onnx and a .pt.

    Raises:
        InputError: it is neither.
    """
    if Path(name).exists():
        return Path(name)
    if str(name) in FAMILY:
        return shipped_network(str(name)).with_suffix(suffix)
    *others, last = FAMILY
    raise InputError(f"{name}: no such network; give {', '.join(others)} or {last}, or a file that train.py wrote")


def chosen_network(checkpoint: Path | None, size: str = FOR_PHOTOS) -> Path:
    """The network's file of a command: what --checkpoint says, else `default_network`."""
    return default_network(size) if checkpoint is None else file_of(checkpoint)


def network_label(network: Network) -> str:
    """The line by which a command says which network it took: its size where it is shipped, its file, and what it is
    of no use for.
    """
    sizes = [size for size in FAMILY if shipped_network(size).resolve() == network.path.resolve()]
    line = f"{sizes[0]}, {network.path}" if sizes else str(network.path)
    return f"{line}: trained on the drawn sample, of no use on photos" if _is_of_drawings(network) else line


def _is_of_drawings(network: Network) -> bool:
    """Whether a network began anew and has seen nothing but the drawn sample, by what its file says."""
    try:
        told = network.metadata["arguments"] if isinstance(network, OnnxNetwork) else network.checkpoint["arguments"]
        arguments = json.loads(told) if isinstance(told, str) else told
        places = arguments["data"]
        return not arguments["init"] and all(Path(place).parts[-2:] == DRAWN for place in places) and bool(places)
    except (KeyError, TypeError, ValueError, RecursionError):  # another version's
        return False


def open_network(path: str | Path, threads: int = 1, device: str = "cpu") -> Network:
    """What runs a network's file: an .onnx in ONNX Runtime on the CPU, a .pt in torch on a device.

    threads: of the processor, that compute. Torch knows no other number than that of the whole process, which is set.

    Raises:
        InputError: the file is not there, or no such network.
    """
    if Path(path).suffix.lower() == ".onnx":
        return OnnxNetwork(path, threads)
    import torch  # here, because that takes longer than a photo does

    from training.checkpoint import TorchNetwork

    torch.set_num_threads(threads)
    return TorchNetwork(path, device)


def open_coarse_network(path: str | Path, threads: int = 1) -> Network | None:
    """What frames faces for a network's file in the first pass, see `coarse_network_of`."""
    coarse_network = coarse_network_of(path)
    return None if coarse_network is None else open_network(coarse_network, threads)


def open_landmarker(network: Path, args, boxes: Sequence | None = None, passes: int = PASSES) -> Landmarker:
    """What finds the faces of a command's pictures.

    args: of the options of `face68.command.arguments.add_finding`. boxes: where the faces are, in place of a detector.
    """
    options = {} if args.min_face is None else {"min_face": args.min_face}
    detector = Given(boxes) if boxes else open_detector(default_detector(args.detector), **options)
    return Landmarker(
        open_network(network, args.threads),
        detector,
        args.min_face_score,
        passes,
        args.largest,
        open_coarse_network(network, args.threads),
    )
