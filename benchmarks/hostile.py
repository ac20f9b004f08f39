"""Hostile files and values, by name: checkpoints, training states, exported networks, labels, servers, command lines.

The tests read each of them once; benchmarks/stress.py chooses among them at random.
"""

import functools
import io
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

from face68.landmarks import LEFT_EYE, OUTER_EYE_CORNERS, RIGHT_EYE
from face68.network import sealed, shipped_detector, shipped_network

NAN, INFINITY = float("nan"), float("inf")
LAUGHS = functools.reduce(lambda value, _: [value] * 10, range(31), "ha")  # lists of lists of …: 10^31 words

# --- Checkpoints: a function writes each to a path, from a good one's dict -----------------------------------------

Write = Callable[[Path, dict], object]


def changed(**values: object) -> Write:
    """A checkpoint with other values of some keys; a function makes one from the checkpoint."""
    return lambda path, c: torch.save(c | {k: v(c) if callable(v) else v for k, v in values.items()}, path)


def _policy(**values: object) -> Write:
    return changed(policy=lambda c: c["policy"] | values)


def _weights(change: Callable[[dict], object]) -> Write:
    return changed(weights=lambda c: change(c["weights"]))


def _first_weight(change: Callable[[torch.Tensor], object]) -> Write:
    return _weights(lambda weights: weights | {next(iter(weights)): change(next(iter(weights.values())))})


def _times(number: float) -> Callable[[dict], dict]:
    """Of tensors by name, all times a number."""
    return lambda tensors: {name: tensor * number for name, tensor in tensors.items()}


def repacked(path: Path, compression: int = zipfile.ZIP_STORED, pickled: Callable[[bytes], bytes] = bytes) -> None:
    """Write a checkpoint's zip file anew, with what a function makes of its pickled part."""
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as old, zipfile.ZipFile(path, "w", compression) as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, pickled(content) if name.endswith("data.pkl") else content)


def bomb(path: Path, checkpoint: dict, size: int = 1 << 28) -> None:
    """That many bytes of zeros, in a file a thousandth as large."""
    torch.save(checkpoint | {"more": torch.zeros(size, dtype=torch.uint8)}, path)
    repacked(path, zipfile.ZIP_DEFLATED)


class _MakesFolder:
    """Unpickling it makes the folder "ran"."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def _with_code(path: Path, checkpoint: dict) -> None:
    torch.save(checkpoint, path)
    code = pickle.dumps(checkpoint | {"weights": {}, "more": _MakesFolder()}, protocol=2)
    repacked(path, pickled=lambda content: code)


def _beyond_storage(path: Path, checkpoint: dict) -> None:
    """A weight of 4 GB on a storage of a few bytes."""
    torch.save(checkpoint | {"more": torch.zeros(3, 5, 7)}, path)
    # K\x03K\x05K\x07 are the sizes; J takes four bytes.
    sizes, larger = b"K\x03K\x05K\x07", b"J\x03\x00\x00\x00J\x00\x00\x00\x10K\x07"
    repacked(path, pickled=lambda content: content.replace(sizes, larger))


WIDTHS = ([3000] * 5, [10**6] * 5, [10**12] * 5, [-1] * 5, [0] * 5, [16], [16] * 3000, "wide", [1.5] * 5, None)
ANNOTATORS = ("ibug", None, 3, [3, 4], [["a"], ["b"]], ["a"] * 3, ["a"] * 10**5)
KEYS = ("model", "options", "weights", "policy", "arguments", "versions", "metrics", "epoch")
MODELS = ("net", "detector", "Heatmap", "__class__", b"heatmap", ("heatmap",))
EXTREMES = (NAN, INFINITY, 1e38)
HOSTILE: dict[str, Write] = {
    "zip bomb": bomb,
    "code": _with_code,
    "a pickle alone": lambda path, c: path.write_bytes(pickle.dumps({"model": "heatmap"})),
    "no dict": lambda path, c: torch.save([c], path),
    "legacy format": lambda path, c: torch.save(c, path, _use_new_zipfile_serialization=False),
    "deflated": functools.partial(bomb, size=64),
    "a weight beyond its storage": _beyond_storage,
    "arguments that laugh": changed(arguments=LAUGHS),
    "options that laugh": changed(options={"widths": LAUGHS}),
    "weights that laugh": changed(weights=LAUGHS),
    "numbered weights": _weights(lambda weights: dict(enumerate(weights.values()))),
    "one weight more": _weights(lambda weights: weights | {"more": torch.ones(3)}),
    "weights in float64": _weights(lambda weights: {k: v.double() for k, v in weights.items()}),
    "weights as numbers": _first_weight(lambda w: 1.0),
    "a complex weight": _first_weight(lambda w: w * 1j),
    "a sparse weight": _first_weight(lambda w: w.to_sparse()),
    "a weight of another shape": _first_weight(lambda w: w[None]),
    "a stretched weight": _first_weight(lambda w: w.flatten()[:1].expand(10**9)),
    "fold 10^9": changed(arguments=lambda c: c["arguments"] | {"folds": 10**9, "val_fold": -1}),
    "fold x": changed(arguments=lambda c: c["arguments"] | {"folds": "x"}),
    **{f"widths {str(widths)[:20]}": changed(options={"widths": widths}) for widths in WIDTHS},
    **{f"a crop of {n}": _policy(size=n) for n in (0, -1, 1, 9, 7.5, 20_000, 10**9, "112", None, NAN, [112], True)},
    **{f"a margin of {str(n)[:9]}": _policy(margin=n) for n in (0, -1, NAN, INFINITY, 1e300, 10**400, "1.2", None)},
    **{f"annotators {str(names)[:20]}": changed(annotators=names) for names in ANNOTATORS},
    **{f"{key} {value}": changed(**{key: value}) for key in KEYS for value in (None, 7, "x", [], {"a": {}}, {1: 2})},
    **{f"model {model}": changed(model=model) for model in MODELS},
    **{f"no {k}": lambda path, c, k=k: torch.save({key: c[key] for key in c if key != k}, path) for k in KEYS},
    **{f"weights {n}": _weights(lambda weights, n=n: {k: v * 0 + n for k, v in weights.items()}) for n in EXTREMES},
    **{f"a weight {n}": _first_weight(lambda w, n=n: w * 0 + n) for n in EXTREMES},
    **{f"calibration {n}": _weights(lambda w, n=n: w | {"calibration": torch.full((2,), n)}) for n in EXTREMES},
}

_UNREAD = {"weights in float64", "epoch 7", "a crop of 9"}  # what is never read does no harm
_UNREAD |= {f"{key} {value}" for key in ("metrics", "versions", "arguments") for value in ({"a": {}}, {1: 2})}
_UNUSED = {"fold 10^9", "fold x"}
HARMLESS = {"predict": _UNREAD | _UNUSED, "evaluate": _UNREAD | _UNUSED, "export": _UNREAD}  # by command

# --- Training states: a function writes each to a run's last.pt, from its dict, or changes what lies beside ----------


def _state(**values: object) -> Write:
    """With other values in the training state; a function makes one from the state."""
    return changed(
        training=lambda c: c["training"] | {k: v(c["training"]) if callable(v) else v for k, v in values.items()}
    )


def _optimizers(change: Callable[[torch.Tensor], object]) -> Write:
    """The optimizers' state of each parameter, changed."""

    def every(one: dict) -> dict:
        return one | {"state": {i: {k: change(v) for k, v in p.items()} for i, p in one["state"].items()}}

    return _state(optimizers=lambda state: [every(one) for one in state["optimizers"]])


def _absurd(one: dict) -> dict:
    return one | {"param_groups": [group | {"lr": "x", "betas": 7} for group in one["param_groups"]]}


def _cut_best(path: Path, checkpoint: dict) -> None:
    best = path.with_name("best.pt")
    best.write_bytes(best.read_bytes()[:-999])


HISTORIES = {
    "garbage history": b"\xff\xfe\x00garbage\n\n,,,",
    "history of another": b"epoch,loss\n1,2\n",
    "history with words": b"epoch,train_loss,val_loss,val_nme,seconds\n1,x,y,z,w\n",
    "history too short": b"epoch,train_loss,val_loss,val_nme,seconds\n1\n",
}
STATE_KEYS = ("faces", "model", "average", "optimizers", "epoch", "step", "sums", "best_error", "random")
STATES: dict[str, Write] = {
    **{f"{k} {v}": _state(**{k: v}) for k in STATE_KEYS for v in (None, -5, 10**9, 0.5, NAN, "x", [], {})},
    "random bytes too few": _state(random=lambda s: s["random"][:7]),
    "random as floats": _state(random=lambda s: s["random"].float()),
    "weights of another": _state(model=lambda s: {k: v.flatten() for k, v in s["model"].items()}),
    "no weights": _state(model={}),
    "weights nan": _state(model=lambda s: _times(NAN)(s["model"])),
    "average nan": _state(average=lambda s: s["average"] | {"model": _times(NAN)(s["average"]["model"])}),
    "average's steps": _state(average=lambda s: s["average"] | {"steps": -3}),
    "an optimizer too few": _state(optimizers=lambda s: s["optimizers"][1:]),
    "optimizers nan": _optimizers(lambda v: v * NAN),
    "optimizers flat": _optimizers(lambda v: v.flatten()[:1].clone()),
    "optimizers without words": _optimizers(lambda v: None),
    "groups absurd": _state(optimizers=lambda s: [_absurd(one) for one in s["optimizers"]]),
    "no best": lambda path, c: path.with_name("best.pt").unlink(),
    "bad best": _cut_best,
    "best is a folder": lambda path, c: (path.with_name("best.pt").unlink(), path.with_name("best.pt").mkdir()),
    **{name: lambda path, c, t=text: path.with_name("history.csv").write_bytes(t) for name, text in HISTORIES.items()},
}
HARMLESS_STATES = {"groups absurd", "best_error 0.5"}  # they come from the settings and aren't read, or may be

# --- Exported networks: a function writes each to a path -----------------------------------------------------------


def rewritten(**metadata: str | None) -> Callable[[Path], None]:
    """The shipped network with other metadata; None: without that entry."""

    def write(path: Path) -> None:
        model = onnx.load(shipped_network("base"))
        entries = {entry.key: entry.value for entry in model.metadata_props} | {"crc32": None} | metadata
        helper.set_model_props(model, {key: value for key, value in entries.items() if value is not None})
        onnx.save(model, path)

    return write


def _scaled(factor: float) -> Callable[[Path], None]:
    """The shipped network with other weights in float."""

    def write(path: Path) -> None:
        model = onnx.load(shipped_network("base"))
        for tensor in model.graph.initializer:
            values = numpy_helper.to_array(tensor)
            if tensor.data_type == onnx.TensorProto.FLOAT and (values.ndim or np.isnan(factor)):
                tensor.CopyFrom(numpy_helper.from_array(values * np.float32(factor), tensor.name))
        onnx.save(model, path)

    return write


def _external(location: str, head: bytes = b"\n\x08") -> Callable[[Path], None]:
    """The weights in another file: one beside it, that is there, or any on this machine.

    head: the bytes before the word "location": a field's number and the word's length, 8, both of which may be written
        in more bytes than they take.
    """

    def write(path: Path) -> None:
        model = onnx.load(shipped_network("base"))
        onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=1024)
        model = onnx.load(path, load_external_data=False)
        padded = "." * (len(head) - 2) + location.format(folder=path.parent)  # as many bytes as it loses below
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = padded
        longer, shorter = (bytes([len(text)]) + text.encode() for text in (padded, padded[len(head) - 2 :]))
        content = model.SerializeToString()
        path.write_bytes(sealed(content.replace(b"\n\x08location\x12" + longer, head + b"location\x12" + shorter)))

    return write


def tiny(path: Path, takes="crops", kind=2, shape=(1, 112, 112), gives="keypoints", points=68, **more) -> None:
    """An .onnx file that puts the points of each crop on one line, or all on `value`; the rest of `more` is metadata.

    kind: of what goes in, as onnx.TensorProto numbers them: 1 float, 2 uint8.
    """
    value = more.pop("value", None)
    line = np.tile(np.arange(points, dtype=np.float32)[:, None], (1, 1, 2))
    line = line if value is None else np.full_like(line, value)
    constants = {"line": line, "first": np.array([0]), "last": np.array([1]), "rest": np.array([points, 2])}
    nodes = [
        helper.make_node("Shape", [takes], ["shape"]),
        helper.make_node("Slice", ["shape", "first", "last"], ["count"]),
        helper.make_node("Concat", ["count", "rest"], ["wanted"], axis=0),
        helper.make_node("Expand", ["line", "wanted"], [gives]),
    ]
    inputs = [helper.make_tensor_value_info(takes, kind, ["b", *shape])]
    outputs = [helper.make_tensor_value_info(gives, 1, ["b", points, 2])]
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, more)
    onnx.save(model, path)


OTHERS = {  # by name, how each differs from a `tiny` network that can be used
    "a line": {},
    "one point": {"value": 7.0},
    "nan": {"value": np.nan},
    "infinite": {"value": np.inf},
    "other input": {"takes": "images"},
    "floats": {"kind": 1},
    "colour": {"shape": (3, 112, 112)},
    "any size": {"shape": (1, "h", "w")},
    "another size": {"shape": (1, 9, 9)},
    "other output": {"gives": "boxes"},
    "67 points": {"points": 67},
}
POLICIES = {"no": None, "a nested": "[" * 100_000, "a list for a": "[112, 1.2]", "a string for a": '"x"'}
POLICIES |= {"more in the": '{"size": 112, "margin": 1.2, "more": 1}'}
NUMBERS = ('"128"', "20000", "-1", "null", "1e400", "NaN", "128.0", "[]", "224", "true")
POLICIES |= {f"size {n} in the": f'{{"size": {n}, "margin": 1.2}}' for n in NUMBERS}
POLICIES |= {f"margin {n} in the": f'{{"size": 128, "margin": {n}}}' for n in NUMBERS if n != "128.0"}
NETWORKS: dict[str, Callable[[Path], object]] = {
    "format 2": rewritten(face68="2"),
    "no format": rewritten(face68=None),
    **{f"{name} policy": rewritten(policy=policy) for name, policy in POLICIES.items()},
    "no weights": lambda path: path.write_bytes(b""),
    "weights nan": _scaled(NAN),
    "weights 1e30": _scaled(1e30),
    "external beside": _external("weights.bin"),
    "external absolute": _external("{folder}/weights.bin"),
    "external elsewhere": _external("../../../../../../../etc/passwd"),
    "external device": _external("/dev/zero"),
    "external by a long key": _external("weights.bin", b"\x8a\x80\x80\x80\x10\x08"),
    "external by a long length": _external("weights.bin", b"\n\x88\x80\0"),
    "a detector": lambda path: shutil.copy(shipped_detector(), path),
    **{
        name: functools.partial(tiny, **{"face68": "1", "policy": '{"size": 112, "margin": 1.2}'} | options)
        for name, options in OTHERS.items()
    },
}
HARMLESS_NETWORKS = {"margin true in the policy", "a line"}

# --- Labels: cells, names, label_shift.json, and what functions make of points (68, 2) and a random generator --------

CELLS = (
    *("", " ", "x", "nan", "NaN", "inf", "-inf", "1e30", "-1e30", "1e39", "1e400", "True", "1_000", "0x10", "١٢"),
    *("1e5 ", "--3", "None", "null", "1;2", '"3', "\x00", "\ud800", "9" * 400, "1e-400", "- 3", "1e", "3px"),
    *("∞", "1,5"),
)
GOOD_CELLS = {"1e5 ", "1e-400"}
NAMES = (
    *("", " ", "../a.jpg", "/etc/passwd", "a/../../b.jpg", "x" * 300 + ".jpg", "x/" * 3000, "missing.jpg", ".", ".."),
    *("\x00.jpg", "a\nb.jpg", "training", "C:\\a.jpg", "~/a.jpg", "\x1b[31m.jpg", "-", "./{name}"),
    *("../training/{name}", "{folder}/training/{name}"),
)
SHIFTS = (
    *("{", "", "[]", "7", "null", '"x"', '{"x": true}', '{"x": "0.1"}', '{"x": null}', '{"x": [0]}', '{"z": 1}'),
    *('{"x": 1}', '{"x": -1e3}', '{"slant": 9}', '{"x": NaN}', '{"x": 1e400}', '{"x_pixels": 1e30}', "\udcff"),
    *('{"x_pixels": -1e9}', '{"y_pixels": Infinity}', '{"y_pixels": 1e300}', '{"x": ' + "9" * 5000 + "}"),
    *('{"x": 0.1, }', '{"x_pixels": true}', '{"x_pixels": "2"}', '{"y": {"y": 1}}', '{"x_pixels": 100000}'),
    "[" * 100_000,
)


def _replaced(points: np.ndarray, which: object, by: np.ndarray) -> np.ndarray:
    points = points.copy()
    points[which] = by
    return points


RIGHT_CORNER, LEFT_CORNER = OUTER_EYE_CORNERS
FACES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "same place": lambda points, random: _replaced(points, slice(None), points[0]),
    "a line": lambda points, random: _replaced(points * (0, 1), LEFT_CORNER, points[RIGHT_CORNER] * (0, 1)),
    "no eyes": lambda points, random: _replaced(points, LEFT_EYE, points[RIGHT_EYE]),
    "far": lambda points, random: _replaced(points, random.integers(68), 10.0 ** random.integers(8, 40)),
    "minute": lambda points, random: points * 1e-9,
}

# --- Servers: the bytes that each answers with, and how many a second it sends behind them for ever -------------------

_HEAD, _REDIRECT = b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 302 x\r\nLocation: %s\r\n\r\n"
ANSWERS: dict[str, tuple[bytes, float]] = {
    "endless": (_HEAD + b"\r\n", 1e9),
    "dripping": (_HEAD + b"Content-Length: 5000\r\n\r\n", 4),
    "dripping head": (_HEAD + b"X: ", 4),
    "endless head": (_HEAD + b"X: ", 1e9),
    "no HTTP": (b"\x00\xff\x13\x37" * 50, 0),
    "nothing": (b"", 0),
    "status of words": (b"HTTP/1.1 good OK\r\n\r\n", 0),
    "busy for ever": (b"HTTP/1.1 503 x\r\nRetry-After: 99999999999999999999999\r\n\r\n", 0),
    "busy without end": (b"HTTP/1.1 429 x\r\nRetry-After: inf\r\n\r\n", 0),
    "length of 10^20": (_HEAD + b"Content-Length: 100000000000000000000\r\n\r\nabc", 0),
    "length of words": (_HEAD + b"Content-Length: many\r\n\r\nabc", 0),
    "negative length": (_HEAD + b"Content-Length: -5\r\n\r\nabc", 0),
    "bad chunks": (_HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc", 0),
    "huge chunk": (_HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc", 0),
    "other content": (_HEAD + b"Content-Length: 3\r\n\r\nabc", 0),
    "a hundred heads": (_HEAD + b"A: b\r\n" * 200 + b"\r\n", 0),
    "redirect to nowhere": (_REDIRECT % b"http://[::1", 0),
    "redirect to a port": (_REDIRECT % b"http://127.0.0.1:99999/", 0),
    "redirect to letters": (_REDIRECT % b"http://127.0.0.1:abc/", 0),
    "redirect to a file": (_REDIRECT % b"file:///etc/passwd", 0),
    "redirect to spaces": (_REDIRECT % b"/a b\tc", 0),
    "redirect to no text": (_REDIRECT % b"/\xff\xfe", 0),
    "redirect to itself": (_REDIRECT % b"/", 0),
}

# --- Command lines: values for any option, among the files that `stress.lay_out` makes --------------------------------

VALUES = (
    "", " ", "-", "--", "0", "-1", "1", "2", "5%", "nan", "inf", "-inf", "1e308", "1e-320", "1e999", "0x10", "1_000",
    "١", str(2**31), str(2**63), str(2**64), "9" * 400, "a" * 300, "a/" * 3000, "../..", "/", "/dev/null", "/dev/full",
    "/dev/zero", "/proc/self/mem", "photo.jpg", "folder", "fifo", "link", "no such file", "new\nline", "\x1b[2J", "ü顔",
    "\udcff", "*.jpg", "[", "**/*", "0,0,1,1", "1,1,0,0", "nan,0,1,1", "-1e9,-1e9,1e9,1e9", "0,0,3000000,3000000",
    "0,0,1e-9,1e-9", "empty.jpg", "cut.jpg", "huge.ppm", "broken.jsonl", "broken.pt", "broken.onnx", "film.mp4", "data",
    "null.csv", "auto", "none", "cpu", "cuda", "net", "glasses", "glasses@", "photo.jpg@hat", "@",
)  # fmt: skip
