"""A checkpoint's network as one .onnx file, with the checkpoint's description in its metadata.

`face68.network` runs it, and so does ONNX Runtime in any language.

A network of keypoints takes "crops" (B, 1, S, S) uint8 gray and returns "keypoints" (B, 68, 2) px of the crop; if it
judges its own work also "errors" (B, 68) px and "face_scores" (B,). A detector takes "pictures" (B, 3, H, W) uint8 RGB,
H and W multiples of 32, and returns "scores" (B, H/8, W/8) and "faces" (B, 5, H/8, W/8), see `models.PixelDetector`.
"""

import contextlib
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from face68.annotators import to_text
from face68.files import InputError, atomic_path, sha256
from face68.landmarks import scheme_to
from face68.network import FORMAT, OnnxDetector, OnnxNetwork, sealed
from training.checkpoint import TorchDetector, TorchNetwork, open_checkpoint

OPSET = 18
PARITY = 0.05  # px of the crop, the most that an exported point may lie off the checkpoint's
INT8_OPERATORS = ["Conv", "Add", "Relu"]
NOT_STATED = "not stated"
Torch, Exported = TorchNetwork | TorchDetector, OnnxNetwork | OnnxDetector


def open_file(path: str | Path, network: Torch) -> Exported:
    """Open the file that a checkpoint's network was exported to."""
    return (OnnxDetector if isinstance(network, TorchDetector) else OnnxNetwork)(path)


def export_network(checkpoint: str | Path, output: str | Path, licence: str = NOT_STATED) -> None:
    """Write a checkpoint's network in fp32.

    Raises:
        InputError: the checkpoint can't be used, packages are missing, torch can't export the network, the exported
            one gives other outputs, or `output` can't be written.
    """
    onnx = _onnx()
    network = open_checkpoint(checkpoint)
    with atomic_path(output) as temporary:
        with _quiet():
            _export(network, temporary)
            _write(onnx.load(temporary), temporary, describe(network) | {"precision": "fp32", "licence": licence})
        # Some versions of torch's exporter make mistakes; noise shows them.
        shape = (3, 96, 128) if isinstance(network, TorchDetector) else (network.policy.size,) * 2
        noise = np.random.default_rng(0).integers(0, 256, (4, *shape), dtype=np.uint8)
        check_parity(open_file(temporary, network), network, noise)


def _export(network: Torch, path: Path) -> None:
    dim = torch.export.Dim
    sizes = {0: dim("batch", min=1, max=2**31)}  # torch 2.7 takes none without an end
    if isinstance(network, TorchDetector):
        names, outputs, shape = "pictures", ["scores", "faces"], (3, 96, 128)
        sizes |= {i: OnnxDetector.multiple * dim(f"side_{i}", min=1) for i in (2, 3)}
    else:
        names, outputs = "crops", ["keypoints", "errors", "face_scores", "visible"]
        shape = 1, network.policy.size, network.policy.size
    example = torch.zeros(2, *shape, dtype=torch.uint8)
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
    except OSError:  # the file can't be written, see `atomic_path`
        raise
    except Exception as error:  # of many kinds; its cause says more
        reason = " ".join(str(error.__cause__ or error).split())[:200]
        raise InputError(f"{network.path}: torch can't export this network ({reason}); change its forward") from error


def check_parity(exported: Exported, network: Torch, pictures: np.ndarray) -> float:
    """The largest difference between the outputs of an exported network and the checkpoint's, in px; scores count too.

    pictures: crops (N, S, S) or pictures (N, 3, H, W).

    Raises:
        InputError: it is more than PARITY.
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

    Static quantization: the ranges of the maps are those that training samples give, each channel of weights has its
    own scale. Weights have 7 bits, or sums of products would overflow on processors without VNNI.

    pictures: training samples, crops (N, S, S) or pictures (N, 3, H, W) uint8.

    Raises:
        InputError: packages are missing, the network has less than two convolutions, or `output` can't be written.
    """
    onnx = _onnx()
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    is_detector = pictures.ndim == 4
    batches = iter({"pictures": one[None]} if is_detector else {"crops": one[None, None]} for one in pictures)

    class Samples(CalibrationDataReader):
        def get_next(self) -> dict | None:
            return next(batches, None)

    with tempfile.TemporaryDirectory() as folder, atomic_path(output) as temporary, _quiet():
        prepared = Path(folder, "prepared.onnx")
        quant_pre_process(exported, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            temporary,
            Samples(),
            op_types_to_quantize=INT8_OPERATORS,
            nodes_to_exclude=_nodes_in_float(onnx.load(prepared).graph.node, is_detector, output),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        entries = {entry.key: entry.value for entry in onnx.load(exported).metadata_props if entry.key != "crc32"}
        _write(onnx.load(temporary), temporary, entries | {"precision": "int8"})


def _nodes_in_float(nodes: Sequence, is_detector: bool, output: str | Path) -> list[str]:
    """The names of the nodes that 8 bits are not for; `nodes` are all, in the order of computation.

    They are the first convolution, which has few channels and is faster in float; all behind the last convolutions; and
    a detector's last one, whose outputs have different ranges but would share one scale.

    Raises:
        InputError: there are less than two convolutions.
    """
    convolutions = [node.name for node in nodes if node.op_type == "Conv"]
    if len(convolutions) < 2:
        raise InputError(f"{output}: 8 bits are for networks of several convolutions; export without --int8")
    return [convolutions[0], *_behind(nodes), *(convolutions[-1:] if is_detector else [])]


def _behind(nodes: Sequence) -> list[str]:
    """The names of the nodes that lead to no further convolution: they read coordinates and scores off the maps."""
    names, needed = [], set()  # the values that a convolution needs
    for node in reversed(nodes):
        if node.op_type == "Conv" or needed.intersection(node.output):
            needed.update(node.input)
        else:
            names.append(node.name)
    return names


def halve(exported: str | Path, output: str | Path) -> None:
    """Write an exported network with 16-bit weights and maps up to its last convolution: half of the size, and what
    GPUs and other accelerators compute fastest; a processor converts them back.

    What lies behind, which reads coordinates off the maps, stays in 32 bits: of 160 px, 16 have steps of 0.125.

    Raises:
        InputError: packages are missing, the network has no convolution, or `output` can't be written.
    """
    onnx = _onnx()
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load(exported)
    entries = {entry.key: entry.value for entry in model.metadata_props if entry.key != "crc32"}
    nodes = model.graph.node
    if not any(node.op_type == "Conv" for node in nodes):
        raise InputError(f"{output}: 16 bits are for networks of convolutions; export without --half")
    with atomic_path(output) as temporary, _quiet():
        halved = convert_float_to_float16(model, keep_io_types=True, node_block_list=_behind(nodes))
        _write(halved, temporary, entries | {"precision": "fp16"})


def describe(network: Torch) -> dict[str, str]:
    """The metadata of a checkpoint's exported file, text by key: the checkpoint's description, and how to use it."""
    checkpoint = network.checkpoint
    entries = {
        "face68": FORMAT,
        "model": checkpoint["model"],
        "git_commit": checkpoint["versions"].get("git_commit", "unknown"),
        "checkpoint_sha256": sha256(network.path),
        "opset": str(OPSET),
    }
    values = {key: checkpoint[key] for key in ("options", "arguments", "versions", "epoch", "metrics")}
    if isinstance(network, TorchDetector):
        entries |= {
            "description": "faces of any roll in pictures of any size",
            "color": "RGB",
            "normalization": "none: pictures are bytes; fill their sides up with 0 to multiples of 32",
            "scores": "of each 8x8 px: the probability that a face has its centre there; a face is a peak among 3x3",
            "faces": "x and y of that face's centre, side of the square around its 68 points once they are level, px; "
            "x and y of the direction from its right eye to its left one",
        }
    else:
        policy, scheme = network.policy, network.scheme
        entries |= {
            "description": f"the {len(scheme)} keypoints of {scheme.name} in a square crop",
            "color": "gray",
            "normalization": "none: crops are bytes, 0 is black, 255 is white",
            "crop": f"a square of margin × the longer side of the box around the points, {policy.size} px",
        }
        entries["annotators"] = to_text(network.annotators)
        values |= {"policy": checkpoint["policy"], "scheme": scheme_to(scheme), "landmarks": list(scheme.points)}
        values |= {} if scheme.mirror is None else {"flip": scheme.mirror.tolist()}
    return entries | {key: json.dumps(value) for key, value in values.items()}


def _write(model, path: Path, entries: dict[str, str]) -> None:
    """Write an onnx.ModelProto with these entries of metadata alone: torch's exporter notes in each node the lines of
    code that it comes from, with the machine's folders.
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
    """Without the exporters' warnings, logs and prints; their errors are raised."""
    before, unread = logging.root.manager.disable, io.StringIO()
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(unread), contextlib.redirect_stderr(unread):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
