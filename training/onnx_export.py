"""A checkpoint's network as one .onnx file, which says of itself all that the checkpoint says.

`face68.network` runs it, and so does ONNX Runtime in any language. Of keypoints: "crops" (B, 1, S, S) uint8 gray in;
"keypoints" (B, 68, 2) px of the crop, "errors" (B, 68) px and "face_scores" (B,) out, the last two of a network that
judges its own work. Of a detector: "pictures" (B, 3, H, W) uint8 RGB in, H and W multiples of 32; "scores"
(B, H/8, W/8) and "faces" (B, 5, H/8, W/8) out, see `models.PixelDetector`. The rest is in the metadata.
"""

import contextlib
import io
import json
import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch

from face68.annotators import to_text
from face68.files import InputError, atomic_path, sha256
from face68.landmarks import FLIP, NAMES
from face68.network import FORMAT, OnnxDetector, OnnxNetwork, sealed
from models import MODELS, finds_faces
from training.checkpoint import TorchDetector, TorchNetwork, load_checkpoint

OPSET = 18
PARITY = 0.05  # px of the crop, the most that an exported point may lie off the checkpoint's
INT8_OPERATORS = ["Conv", "Add", "Relu"]
NOT_STATED = "not stated"


def open_checkpoint(path: str | Path) -> TorchNetwork | TorchDetector:
    """What runs a checkpoint's network in torch, of either kind.

    Raises:
        InputError: the checkpoint can't be used.
    """
    name = load_checkpoint(path)["model"]
    return (TorchDetector if name in MODELS and finds_faces(name) else TorchNetwork)(path)


def open_file(path: str | Path, network: TorchNetwork | TorchDetector) -> OnnxNetwork | OnnxDetector:
    """What runs the file that a checkpoint's network was exported to."""
    return (OnnxDetector if isinstance(network, TorchDetector) else OnnxNetwork)(path)


def export_network(checkpoint: str | Path, output: str | Path, licence: str = NOT_STATED) -> None:
    """Write a checkpoint's network in fp32, in some seconds.

    Raises:
        InputError: the checkpoint can't be used, packages are missing, torch can't export the network or exports
            another, or `output` can't be written.
    """
    onnx = _onnx()
    network = open_checkpoint(checkpoint)
    with atomic_path(output) as temporary:
        with _quiet():
            _export(network, temporary)
            _write(onnx.load(temporary), temporary, describe(network) | {"precision": "fp32", "licence": licence})
        # Noise is no face, but it tells one network from another: exporters err, of some versions for everybody.
        shape = (4, *_example(network).shape[1:])
        noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        check_parity(open_file(temporary, network), network, noise if shape[1] == 3 else noise[:, 0])


def _example(network: TorchNetwork | TorchDetector) -> torch.Tensor:
    """What goes in: two black pictures or crops."""
    if isinstance(network, TorchDetector):
        return torch.zeros(2, 3, 96, 128, dtype=torch.uint8)
    return torch.zeros(2, 1, network.policy.size, network.policy.size, dtype=torch.uint8)


def _export(network: TorchNetwork | TorchDetector, path: Path) -> None:
    example, dim = _example(network), torch.export.Dim
    sizes = {0: dim("batch", min=1, max=2**31)}  # torch 2.7 takes none without an end
    if isinstance(network, TorchDetector):
        names, outputs = "pictures", ["scores", "faces"]
        sizes |= {i: OnnxDetector.multiple * dim(f"side_{i}", min=1) for i in (2, 3)}
    else:
        names, outputs = "crops", ["keypoints", "errors", "face_scores"]
    try:
        with torch.inference_mode():
            count = len(network.model(example))
        torch.onnx.export(
            network.model,
            (example,),
            path,
            input_names=[names],
            output_names=outputs[:count],
            dynamo=True,
            dynamic_shapes={names: sizes},
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    except OSError:  # of the place, see `atomic_path`
        raise
    except Exception as error:  # of many kinds, and its cause says more
        reason = " ".join(str(error.__cause__ or error).split())[:200]
        raise InputError(f"{network.path}: torch can't export this network ({reason}); change its forward") from error


def check_parity(
    exported: OnnxNetwork | OnnxDetector, network: TorchNetwork | TorchDetector, pictures: np.ndarray
) -> float:
    """How far an exported network is at most off the checkpoint's, in px, on crops (N, S, S) or pictures (N, 3, H, W).

    All that they say counts, scores with 1 for a pixel.

    Raises:
        InputError: it is too far.
    """
    pairs = zip(exported(pictures), network(pictures), strict=True)
    off = max(float(np.abs(one - other).max()) for one, other in pairs if other is not None)
    if not off <= PARITY:
        raise InputError(
            f"{network.path}: exported, it is {off:.3f} px off; nothing was written; change the network's forward, or "
            "the versions of torch and onnxscript"
        )
    return off


def quantize(exported: str | Path, output: str | Path, pictures: np.ndarray) -> None:
    """Write an exported network with 8-bit weights and maps: a quarter of the size, less than half of the time.

    Statically, each channel with a scale of its own, by the least and largest values that training samples give: crops
    (N, S, S) or pictures (N, 3, H, W) uint8. Weights have 7 bits, so that no sum of two products overflows on
    processors without VNNI. The first convolution, of few channels, is faster as it is, and what comes after the last
    one reads points or faces off the maps: both stay in float; of a detector the last one too, for the things that it
    says are of different sizes and would share a scale.

    Raises:
        InputError: packages are missing, the network isn't one of convolutions, or `output` can't be written.
    """
    onnx = _onnx()
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    is_detector = pictures.ndim == 4

    class Samples(CalibrationDataReader):
        def __init__(self):
            name, shape = ("pictures", (1, 3)) if is_detector else ("crops", (1, 1))
            self._batches = iter([{name: one.reshape(*shape, *one.shape[-2:])} for one in pictures])

        def get_next(self) -> dict | None:
            return next(self._batches, None)

    with tempfile.TemporaryDirectory() as folder, atomic_path(output) as temporary, _quiet():
        prepared = Path(folder, "prepared.onnx")
        quant_pre_process(exported, prepared, skip_symbolic_shape=True)
        nodes = onnx.load(prepared).graph.node  # each behind what it reads
        convolutions = [i for i, node in enumerate(nodes) if node.op_type == "Conv"]
        if len(convolutions) < 2:
            raise InputError(f"{output}: 8 bits are for networks of several convolutions; export without --int8")
        first, last = convolutions[0], convolutions[-1]
        quantize_static(
            prepared,
            temporary,
            Samples(),
            op_types_to_quantize=INT8_OPERATORS,
            nodes_to_exclude=[node.name for node in (nodes[first], *nodes[last + (0 if is_detector else 1) :])],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        said = {entry.key: entry.value for entry in onnx.load(exported).metadata_props if entry.key != "crc32"}
        _write(onnx.load(temporary), temporary, said | {"precision": "int8"})


def describe(network: TorchNetwork | TorchDetector) -> dict[str, str]:
    """All that a checkpoint says of itself and what a user of its network must know, as text by key."""
    checkpoint = network.checkpoint
    words = {
        "face68": FORMAT,
        "model": checkpoint["model"],
        "git_commit": checkpoint["versions"].get("git_commit", "unknown"),
        "checkpoint_sha256": sha256(network.path),
        "opset": str(OPSET),
    }
    values = {key: checkpoint[key] for key in ("options", "arguments", "versions", "epoch", "metrics")}
    if isinstance(network, TorchDetector):
        words |= {
            "description": "faces of any roll in pictures of any size",
            "color": "RGB",
            "normalization": "none: pictures are bytes; fill their sides up with 0 to multiples of 32",
            "scores": "of each 8x8 px: the probability that a face has its centre there; a face is a peak among 3x3",
            "faces": "x and y of that face's centre, side of the square around its 68 points once they are level, px; "
            "x and y of the direction from its right eye to its left one",
        }
    else:
        policy = network.policy
        words |= {
            "description": "68 facial keypoints (iBUG) of a square crop around a face",
            "color": "gray",
            "normalization": "none: crops are bytes, 0 is black, 255 is white",
            "crop": f"a square of margin × the longer side of the box around the 68 points, {policy.size} px",
        }
        words["annotators"] = to_text(network.annotators)
        values |= {"policy": checkpoint["policy"], "landmarks": NAMES, "flip": FLIP.tolist()}
    return words | {key: json.dumps(value) for key, value in values.items()}


def _write(model, path: Path, entries: dict[str, str]) -> None:
    """Write an onnx.ModelProto with these entries of metadata and no others: torch's exporter notes in each node which
    lines of code it comes from, with the folders of the machine.
    """
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info):
        part.ClearField("metadata_props")
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)
    path.write_bytes(sealed(model.SerializeToString()))


def _onnx():
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch.onnx needs it)
    except ImportError as error:
        raise InputError(f"exporting needs the package {error.name}: pip install onnx onnxscript") from error
    return onnx


@contextlib.contextmanager
def _quiet():
    """The exporters tell what they do by warnings, logs and prints; what goes wrong is raised."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    unread = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(unread), contextlib.redirect_stderr(unread):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
