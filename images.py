"""Image files in and out, always as (H, W, 3) uint8 RGB in memory.

Pillow decodes: it names what is wrong with a broken file, where OpenCV's libraries write to stderr and go on.
"""

import glob
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from cli import InputError, atomic_path

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".jp2", ".ppm", ".pgm")
)
MAX_PIXELS = 250_000_000
STDIN = "-"

_JPEG, _PNG, _TIFF = ("JPEG", {"quality": 92}), ("PNG", {}), ("TIFF", {"compression": "tiff_lzw"})
_WRITERS = {  # suffix: Pillow's name of the format and its options
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".png": _PNG,
    ".webp": ("WEBP", {"quality": 92}),
    ".bmp": ("BMP", {}),
    ".tif": _TIFF,
    ".tiff": _TIFF,
}

WRITABLE_SUFFIXES = frozenset(_WRITERS)

_UPRIGHT = {  # EXIF orientation: what makes the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_EXIF_ORIENTATION = 0x0112

Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # from there Pillow warns, and it refuses above twice that
warnings.filterwarnings("ignore", module=r"PIL\.")  # odd metadata is nothing that a user could mend
logging.getLogger("PIL").setLevel(logging.CRITICAL)


def read_image(source: str | Path | bytes, name: str = "the image") -> np.ndarray:
    """Read an image file, or bytes (of `name`, for errors), whatever the name says: the content decides the format.

    The picture is turned upright by its EXIF orientation, transparent pixels lie over white, 16-bit samples keep
    their upper eight bits, and of an animation the first frame counts. Colour profiles are not applied.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        InputError: not there, empty, no image, damaged, with 32-bit samples, or above 250 megapixels.
    """
    if isinstance(source, bytes):
        data = source
    else:
        name, data = str(source), _read_bytes(source)
    if not data:
        raise InputError(f"{name}: is empty; copy or download it again")
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            return _to_rgb(_upright(image))
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    except Image.UnidentifiedImageError as error:
        raise InputError(f"{name}: is not an image; give a JPEG, PNG, TIFF, WebP, BMP or GIF file") from error
    except Image.DecompressionBombError as error:
        limit = MAX_PIXELS // 1_000_000
        raise InputError(f"{name}: has more than {limit} megapixels; scale it down first") from error
    except MemoryError as error:
        raise InputError(f"{name}: is too large for this machine's memory; scale it down first") from error
    except Exception as error:  # Pillow's decoders meet damage with nearly any exception
        problem = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{name}: is damaged ({problem}); copy or download it again") from error


def read_source(source: str) -> np.ndarray:
    """`read_image`, where "-" stands for standard input."""
    return read_image(sys.stdin.buffer.read(), "standard input") if source == STDIN else read_image(source)


def _read_bytes(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a folder; give an image file") from error
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        raise InputError(f"{path}: can't be read ({getattr(error, 'strerror', None) or error})") from error


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION)
    except Exception:  # a damaged EXIF block is no reason to refuse the pixels
        orientation = None
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _to_rgb(image: Image.Image) -> np.ndarray:
    # Pillow itself keeps the upper byte of 16-bit colour; only gray arrives with all bits, in older versions as "I".
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        gray = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB)
    if image.mode in ("I", "F"):
        raise InputError("has 32-bit samples; save it with 8 or 16 bits")
    if not image.has_transparency_data:
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))
    rgba = np.asarray(image if image.mode == "RGBA" else image.convert("RGBA"))
    rgb = cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB)
    return rgb if rgba[..., 3].min() == 255 else _over_white(rgb, rgba[..., 3:])


def _over_white(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """rgb (H, W, 3) and alpha (H, W, 1), both uint8; rounded to nearest."""
    alpha = alpha.astype(np.uint16)
    return ((rgb * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def write_image(path: str | Path, rgb: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB, whole or not at all, in the format of the suffix; JPEG and WebP at quality 92.

    Raises:
        InputError: an unknown suffix, a place that can't be written to, or a picture too large for the format.
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        known = ", ".join(_WRITERS)
        raise InputError(f"{path}: can't tell the format from the suffix {path.suffix!r}; use one of {known}")
    image_format, options = _WRITERS[path.suffix.lower()]
    with atomic_path(path) as temporary:
        try:
            Image.fromarray(rgb).save(temporary, image_format, **options)
        except ValueError as error:
            raise InputError(f"{path}: can't be written ({error}); try .png") from error


def find_images(folder: str | Path, recursive: bool = False) -> list[Path]:
    """The image files of a folder, by suffix, sorted; `recursive` looks into its folders too. Hidden ones are skipped.

    Raises:
        InputError: no such folder, or none in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; check the path")
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        found += [Path(parent, name) for name in files if _is_image_name(name)]
    if not found:
        suffixes = " ".join(sorted(IMAGE_SUFFIXES))
        raise InputError(f"{folder}: holds no images ({suffixes}); give another folder")
    return sorted(found)


def _is_image_name(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def reduced(image: np.ndarray, longest: int) -> tuple[np.ndarray, float]:
    """The image with its longer side at most `longest` pixels, and the factor it was multiplied with."""
    height, width = image.shape[:2]
    factor = min(1.0, longest / max(height, width))
    if factor == 1:
        return image, 1.0
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), factor


class Inputs(NamedTuple):
    """The images that a user named.

    sources: their paths as the user would write them, or "-"; for `read_source`.
    names: of each, its path in the folder that holds them all: no two are alike.
    problems: what names nothing.
    """

    sources: list[str]
    names: list[Path]
    problems: list[InputError]


def find_inputs(arguments: Iterable[str], recursive: bool = False) -> Inputs:
    """What files, folders, globs and "-" (standard input) stand for, each image once; `recursive` is for folders.

    A file's own name is taken as it is, even where it would be a glob as well.
    """
    sources, folders, problems = {}, set(), []  # sources by their absolute paths; a dict keeps the order
    for argument in arguments:
        try:
            if argument == STDIN:
                found = [STDIN]
            elif Path(argument).is_dir():
                found = find_images(argument, recursive)
                folders.add(_absolute(argument))
            elif glob.has_magic(argument) and not Path(argument).exists():
                found = _match(argument)
            else:
                found = [argument]
        except InputError as error:
            problems.append(error)
        except OSError as error:  # a name too long, a folder that may not be entered
            problems.append(InputError(f"{argument}: can't be read ({error.strerror}); check the path"))
        else:
            for source in map(str, found):
                sources.setdefault(_absolute("stdin" if source == STDIN else source), source)
    return Inputs(list(sources.values()), _names(list(sources), folders), problems)


def _names(paths: list[Path], folders: set[Path]) -> list[Path]:
    """Absolute paths as seen from the folder that holds them and `folders`; on several Windows drives, from above."""
    if not paths:
        return []
    try:
        root = os.path.commonpath(folders | {path.parent for path in paths})
    except ValueError:  # several drives have no common folder
        return [type(path)(path.drive.strip(":\\"), path.relative_to(path.anchor)) for path in paths]
    return [path.relative_to(root) for path in paths]


def _absolute(path: str) -> Path:
    """Without `..`, but with links as they are: two links to a photo are two names."""
    return Path(os.path.normpath(Path(path).absolute()))


def _match(pattern: str) -> list[str]:
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207 (Path.glob takes no absolute pattern)
    found = sorted(name for name in names if _is_image_name(Path(name).name))
    if not found:
        raise InputError(f"{pattern}: matches no image; check the pattern")
    return found
