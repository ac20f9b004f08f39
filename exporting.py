"""A checkpoint's network as one .onnx file, which says of itself all that the checkpoint says.

`face68.network.OnnxNetwork` runs it, and so does ONNX Runtime in any language: "crops" (B, 1, S, S) uint8 gray in;
"keypoints" (B, 68, 2) px of the crop, "errors" (B, 68) px and "face_scores" (B,) out, the last two of a network that
judges its own work. What it takes to cut a crop and to read the points stands in the metadata.
"""

import json
import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch

from checkpoint import TorchNetwork
from face68.files import InputError, atomic_path, sha256
from face68.landmarks import FLIP, NAMES
from face68.network import FORMAT

OPSET = 18
INT8_OPERATORS = ["Conv", "Add", "Relu"]
NOT_STATED = "not stated"


def export_network(checkpoint: str | Path, output: str | Path, licence: str = NOT_STATED) -> None:
    """Write a checkpoint's network in fp32, in some seconds.

    Raises:
        InputError: the checkpoint can't be used, packages are missing, or `output` can't be written.
    """
    onnx = _onnx()
    network = TorchNetwork(checkpoint)
    size = network.policy.size
    names = ["keypoints", "errors", "face_scores"]
    example = torch.zeros(2, 1, size, size, dtype=torch.uint8)
    with torch.inference_mode():
        names = names[: len(network.model(example))]
    batch = torch.export.Dim("batch", min=1)
    with atomic_path(output) as temporary, _quiet():
        torch.onnx.export(
            network.model,
            (example,),
            temporary,
            input_names=["crops"],
            output_names=names,
            dynamo=True,
            dynamic_shapes={"crops": {0: batch}},
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
        model = onnx.load(temporary)
        _set_metadata(model, describe(network) | {"precision": "fp32", "licence": licence})
        onnx.save(model, temporary)


def quantize(exported: str | Path, output: str | Path, crops: np.ndarray) -> None:
    """Write an exported network with 8-bit weights and maps: a quarter of the size, less than half of the time.

    Statically, each channel with a scale of its own, by the least and largest values that crops (N, S, S) uint8 of
    training faces give. Weights have 7 bits, so that no sum of two products overflows on processors without VNNI. The
    first convolution, of one channel, is faster as it is, and what comes after the last one reads the points off the
    maps: both stay in float.

    Raises:
        InputError: packages are missing, or `output` can't be written.
    """
    onnx = _onnx()
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Crops(CalibrationDataReader):
        def __init__(self):
            self._batches = iter([{"crops": crop[None, None]} for crop in crops])

        def get_next(self) -> dict | None:
            return next(self._batches, None)

    with tempfile.TemporaryDirectory() as folder, atomic_path(output) as temporary, _quiet():
        prepared = Path(folder, "prepared.onnx")
        quant_pre_process(exported, prepared)
        nodes = onnx.load(prepared).graph.node  # each behind what it reads
        first, *_, last = (i for i, node in enumerate(nodes) if node.op_type == "Conv")
        quantize_static(
            prepared,
            temporary,
            Crops(),
            op_types_to_quantize=INT8_OPERATORS,
            nodes_to_exclude=[node.name for node in (nodes[first], *nodes[last + 1 :])],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        model = onnx.load(temporary)
        said = {entry.key: entry.value for entry in onnx.load(exported).metadata_props}
        _set_metadata(model, said | {"precision": "int8"})
        onnx.save(model, temporary)


def describe(network: TorchNetwork) -> dict[str, str]:
    """All that a checkpoint says of itself and what a user of its network must know, as text by key."""
    checkpoint, policy = network.checkpoint, network.policy
    words = {
        "face68": FORMAT,
        "description": "68 facial keypoints (iBUG) of a square crop around a face",
        "model": checkpoint["model"],
        "color": "gray",
        "normalization": "none: crops are bytes, 0 is black, 255 is white",
        "crop": f"a square of margin × the longer side of the box around the 68 points, {policy.size} px",
        "git_commit": checkpoint["versions"]["git_commit"],
        "checkpoint_sha256": sha256(network.path),
        "opset": str(OPSET),
    }
    values = {key: checkpoint[key] for key in ("options", "policy", "arguments", "versions", "epoch", "metrics")}
    values |= {"landmarks": NAMES, "flip": FLIP.tolist()}
    return words | {key: json.dumps(value) for key, value in values.items()}


def _set_metadata(model, entries: dict[str, str]) -> None:
    del model.metadata_props[:]
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)


def _onnx():
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch.onnx needs it)
    except ImportError as error:
        raise InputError(f"exporting needs the package {error.name}: pip install onnx onnxscript") from error
    return onnx


class _quiet(warnings.catch_warnings):
    """The exporters tell what they do by warnings and logs; what goes wrong is raised."""

    def __enter__(self):
        super().__enter__()
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)

    def __exit__(self, *error):
        logging.disable(logging.NOTSET)
        super().__exit__(*error)
