"""What the page in web/ is served with beside its own files: the runtime, the networks, and constants of `face68`.

The runtime is ONNX Runtime Web (MIT), pinned: a module and its WebAssembly, of one version, without the parts for GPUs.
"""

import hashlib
import io
import json
import tarfile
import zlib
from pathlib import Path

from datasets.public_set import download, is_intact
from face68 import detect, draw, landmarker, landmarks, measures, smoothing, tracking
from face68.files import MARK, InputError, atomic_path
from face68.formats import unreadable
from face68.network import FAMILY, OnnxDetector, open_exported, shipped_detector, shipped_network

PAGE = Path(__file__).resolve().parent.parent / "web"
EXAMPLE = PAGE.parent / "docs" / "collins.jpg"
RUNTIME_VERSION = "1.30.0"
ARCHIVE = f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{RUNTIME_VERSION}.tgz"
RUNTIME = {  # of the archive's files, and their SHA-256
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
LABEL_HEAD = f"version: 1 {MARK}, by hand\n"  # of a `.pts` file that the page wrote; not that of predicted points
TOLD = ("model", "precision", "licence", "checkpoint_sha256")  # of a network's metadata, besides its policy


def prepare_page(page: Path = PAGE, archive: str = ARCHIVE) -> None:
    """Complete a copy of the page, so that any static host can serve it: `constants.js`, `runtime/` and `networks/`.

    archive: address or file of the runtime's package; it is not asked for where the runtime is there and intact.

    Raises:
        InputError: the runtime can't be had, is other than expected, or a file can't be written.
    """
    _write(page / "constants.js", constants_text().encode())
    fetch_runtime(page / "runtime", archive)
    networks = {name: shipped_network(name) for name in FAMILY} | {"detector": shipped_detector()}
    for name, network in networks.items():
        _write(page / "networks" / f"{name}.onnx", network.read_bytes())
        write_description(network, page / "networks" / f"{name}.json")
    _write(page / "networks" / EXAMPLE.name, EXAMPLE.read_bytes())


def _write(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def check_page(page: Path = PAGE) -> None:
    """Raises InputError: the page isn't complete."""
    for path in (*(page / "runtime" / name for name in RUNTIME), page / "networks" / "base.onnx"):
        if not path.is_file():
            raise InputError(f"{path}: is missing; get it by: python prepare.py web")


# --- The runtime ----------------------------------------------------------------------------------------------


def fetch_runtime(folder: Path, archive: str, files: dict[str, str] = RUNTIME) -> None:
    """Write the files of `files` (name to SHA-256) that are missing, out of the package's archive.

    Raises:
        InputError: see `prepare_page`. Nothing is written then.
    """
    missing = {name: digest for name, digest in files.items() if not is_intact(folder / name, digest)}
    if not missing:
        return
    contents = _unpacked(_read(archive), [f"package/dist/{name}" for name in missing], archive)
    for (name, digest), content in zip(missing.items(), contents, strict=True):
        if hashlib.sha256(content).hexdigest() != digest:
            raise InputError(f"{archive}: has another {name} than expected; try again from another network")
    for name, content in zip(missing, contents, strict=True):
        _write(folder / name, content)


def _read(archive: str) -> bytes:
    if archive.startswith(("https://", "http://")):
        return download(archive)
    try:
        return Path(archive).read_bytes()
    except OSError as error:
        raise unreadable(archive, error) from error


def _unpacked(content: bytes, names: list[str], archive: str) -> list[bytes]:
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
            return [tar.extractfile(name).read() for name in names]
    except (tarfile.TarError, OSError, EOFError, zlib.error, KeyError, AttributeError) as error:
        version = f"onnxruntime-web {RUNTIME_VERSION}"
        raise InputError(f"{archive}: is not the package {version}; give that, or its address") from error


# --- What the page knows --------------------------------------------------------------------------------------


def write_description(network: Path, output: Path) -> None:
    """Write what the page must know of a network that export.py wrote, as JSON: browsers can't read its metadata.

    Raises:
        InputError: it is no such network, or the file can't be written.
    """
    _, metadata = open_exported(network)
    described = {name: metadata[name] for name in TOLD}
    if "policy" in metadata:
        described |= {name: json.loads(metadata[name]) for name in ("policy", "landmarks", "flip")}
    _write(output, (json.dumps(described) + "\n").encode())


def is_description(path: Path) -> bool:
    """Whether `write_description` wrote a file."""
    try:
        return set(TOLD) <= json.loads(path.read_text(encoding="utf-8")).keys()
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def constants_text() -> str:
    """The module web/constants.js."""
    lines = ",\n".join(f"  {name}: {json.dumps(values)}" for name, values in constants().items())
    return f"// Written by `python prepare.py web` from face68/; change it there.\nexport default {{\n{lines},\n}};\n"


def constants() -> dict[str, dict]:
    """The constants that the page shares with modules of face68, by module and name."""
    model = measures.RIGID_MODEL
    solid = {"points": model.points, "weights": model.weights, "affine": model.affine, "spread": model.spread}
    return {
        "detect": _of(detect, "SEARCHES LEAST SURE SEEN_WELL") | {"MULTIPLE": OnnxDetector.multiple},
        "landmarker": _of(landmarker, "MIN_FACE_SCORE MIN_CERTAINTY SURELY_A_FACE SAME_FACE HARDLY HOPELESS"),
        "landmarks": _of(
            landmarks,
            "NUM_LANDMARKS REGIONS NAMES SKELETON FLIP RIGHT_EYE LEFT_EYE OUTER_EYE_CORNERS NOSE_TIP RIGHT_EYE_OPENING "
            "LEFT_EYE_OPENING MOUTH_OPENING MOUTH_CORNERS INNER_LIPS EYES_WEIGH PROBABLY",
        ),
        "tracking": _of(tracking, "SEARCH_EVERY RETRY_EVERY UNSURE SAME_FACE"),
        "smoothing": _of(smoothing, "HEAD_CUTOFF HEAD_BETA SPEED_CUTOFF"),
        "measures": _of(measures, "CAMERA_DISTANCE NEARER_EYE CLOSED BACK BEFORE FEWEST LONGEST GAP POSED")
        | {"RIGID_MODEL": _plain(solid)},
        "draw": _of(draw, "COLORS"),
        "formats": {"MARK": MARK, "LABEL_HEAD": LABEL_HEAD},
    }


def _of(module, names: str) -> dict:
    return {name: _plain(getattr(module, name)) for name in names.split()}


def _plain(value):
    """A value in JSON's types: arrays and ranges as lists."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, range | tuple | list):
        return [_plain(one) for one in value]
    return value.tolist() if hasattr(value, "tolist") else value
