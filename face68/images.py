"""Image files in and out, always as (H, W, 3) uint8 RGB in memory.

Pillow decodes: it raises an error at a broken file, where OpenCV's libraries write to stderr and go on.
"""

import contextlib
import importlib.util
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

import cv2
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from face68 import geometry
from face68.files import MARK, InputError, atomic_path, is_stream

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"))
IMAGE_SUFFIXES |= {".avif", ".jp2", ".ppm", ".pgm"}
HEIC_SUFFIXES = frozenset((".heic", ".heif"))  # of phones; Pillow doesn't read them
_HEIC_HEADS = (b"ftypheic", b"ftypheix", b"ftypmif1")
AS_JPEG = "save as JPEG (ImageMagick: mogrify -format jpg *.heic; iPhone: Settings, Camera, Formats, Most Compatible)"
# Pillow's names of the formats that are read, by content: its others are rare in photos, and one runs Ghostscript.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP", "JPEG2000")  # the first ones are loaded already
if importlib.util.find_spec("PIL.AvifImagePlugin"):  # since Pillow 11.3
    _FORMATS += ("AVIF",)

_EXIF_ORIENTATION, _EXIF_SOFTWARE = 0x0112, 0x0131
_EXIF, _TEXT = Image.Exif(), PngInfo()  # of our pictures: their software is MARK
_EXIF[_EXIF_SOFTWARE] = MARK
_TEXT.add_text("Software", MARK)

_JPEG, _PNG = ("JPEG", {"quality": 92, "exif": _EXIF}), ("PNG", {"pnginfo": _TEXT})
_ANIMATED = {"quality": 60, "method": 4, "exif": _EXIF}
_TIFF = ("TIFF", {"compression": "tiff_lzw", "software": MARK})
_WRITERS = {  # suffix: Pillow's name of the format and its options
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".png": _PNG,
    ".webp": ("WEBP", {"quality": 92, "exif": _EXIF}),
    ".bmp": ("BMP", {}),
    ".tif": _TIFF,
    ".tiff": _TIFF,
}

WRITABLE_SUFFIXES = frozenset(_WRITERS)
MARKED_SUFFIXES = WRITABLE_SUFFIXES - {".bmp"}  # BMP has no metadata

MAX_BYTES = 512_000_000  # of an image file
_STRIP = 16_000_000  # pixels that are copied at once: Pillow makes a copy as bytes on the way

_UPRIGHT = {  # EXIF orientation: the transposition that makes the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


Decoded = TypeVar("Decoded")
AnyImage = np.ndarray | Image.Image | str | Path | bytes | BinaryIO  # for `as_rgb`


class Reduced(NamedTuple):
    """A photo of `factor` × H and `factor` × W px as (H, W, 3) uint8 RGB."""

    image: np.ndarray
    factor: int


def read_image(source: str | Path | bytes | BinaryIO, name: str = "the image") -> np.ndarray:
    """Read an image: a file by its path, or bytes or an open file (of `name`, for errors). The content decides the
    format, whatever the name says.

    The picture is turned upright by its EXIF orientation, transparent pixels lie over white, 16-bit samples keep
    their upper eight bits, and of an animation the first frame counts. Colour profiles are not applied.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        InputError: not there, empty, no image, damaged, with 32-bit samples, of more than MAX_BYTES, or above Pillow's
            limit: twice `Image.MAX_IMAGE_PIXELS`, 178 megapixels unless the program sets another.
    """
    return _read(source, name, lambda image: _to_rgb(_upright(image)))


def read_reduced(source: str | Path | bytes, name: str = "the image", *, least: int) -> Reduced:
    """`read_image`, but a JPEG at a half, quarter or eighth of its size, the smallest whose longer side has `least` px.

    Its decoder leaves out higher frequencies then, and takes about half of the time. The factor divides both sides, so
    a pixel of the small picture is a block of the large one.
    """

    def decode(image: Image.Image) -> Reduced:
        factor = _factor(image, least)
        if factor > 1:
            image.draft(None, (image.width // factor, image.height // factor))
        return Reduced(_to_rgb(_upright(image)), factor)

    return _read(source, name, decode)


def decoded_pixels(path: str | Path, least: int | None = None) -> int:
    """The number of pixels that `read_image` or, with `least`, `read_reduced` gives of a file; 0: unknown."""
    if not Path(path).is_file():  # a pipe can't be read twice
        return 0
    try:
        with Image.open(path, formats=_FORMATS) as image:
            return image.width * image.height // _factor(image, least) ** 2
    except Exception:  # reading it tells what is wrong with it
        return 0


def read_cutout(path: str | Path) -> np.ndarray:
    """Read an image file of which parts are transparent: (H, W, 4) uint8 RGBA, otherwise as `read_image` does.

    Raises:
        InputError: as `read_image`; or no pixel of it is transparent.
    """
    return _read(path, str(path), lambda image: _to_rgba(_upright(image)))


def _read(source, name: str, decode: Callable[[Image.Image], Decoded]) -> Decoded:
    """`decode` of a file, bytes or an image of Pillow, with every error as an InputError."""
    if isinstance(source, str | Path):
        name, source = str(source), _read_bytes(source)
    try:
        with _opened(source) as image:
            return decode(image)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    except Image.UnidentifiedImageError as error:
        raise InputError(f"{name}: is not an image; give a JPEG, PNG, TIFF, WebP, BMP or GIF file") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # where warnings are errors
        limit = Image.MAX_IMAGE_PIXELS * (2 if isinstance(error, Image.DecompressionBombError) else 1)
        raise InputError(f"{name}: has more than {limit // 1_000_000} megapixels; scale it down first") from error
    except MemoryError as error:
        raise InputError(f"{name}: is too large for this machine's memory; scale it down first") from error
    except Exception as error:  # Pillow's decoders meet damage with nearly any exception
        problem = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{name}: is damaged ({problem}); copy or download it again") from error


def _opened(source: bytes | BinaryIO | Image.Image) -> contextlib.AbstractContextManager[Image.Image]:
    if isinstance(source, Image.Image):
        return contextlib.nullcontext(source)  # the caller closes it
    data = source if isinstance(source, bytes) else source.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError(f"has more than {MAX_BYTES // 1_000_000} MB; save it as JPEG")
    if not data:
        raise InputError("is empty; copy or download it again")
    if data[4:12] in _HEIC_HEADS:
        raise InputError(f"is HEIC, which isn't read; {AS_JPEG}")
    return Image.open(io.BytesIO(data), formats=_FORMATS)


def _factor(image: Image.Image, least: int | None) -> int:
    """By which `read_reduced` decodes an image smaller."""
    if not least or image.format not in ("JPEG", "MPO"):
        return 1
    width, height = image.size
    possible = (k for k in (8, 4, 2) if max(width, height) >= k * least and width % k == height % k == 0)
    return next(possible, 1)


def _read_bytes(path: str | Path) -> bytes:
    try:
        with Path(path).open("rb") as file:
            is_bounded = not is_stream(path) and os.fstat(file.fileno()).st_size <= MAX_BYTES
            return file.read() if is_bounded else file.read(MAX_BYTES + 1)  # which `_opened` refuses if it is so long
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a folder; give an image file") from error
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        raise InputError(f"{path}: can't be read ({getattr(error, 'strerror', None) or error})") from error


def _upright(image: Image.Image) -> Image.Image:
    image.load()  # its EXIF block may stand behind the pixels
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
        return _pixels(image, lambda strip: strip if strip.mode == "RGB" else strip.convert("RGB"))
    return _pixels(image, lambda strip: _without_alpha(np.asarray(strip.convert("RGBA"))))


def _pixels(image: Image.Image, convert: Callable[[Image.Image], Image.Image | np.ndarray]) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an image, converted strip by strip."""
    rows = max(1, _STRIP // image.width)
    if rows >= image.height:
        return np.array(convert(image))
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, rows):
        bottom = min(image.height, top + rows)
        rgb[top:bottom] = convert(image.crop((0, top, image.width, bottom)))
    return rgb


def _to_rgba(image: Image.Image) -> np.ndarray:
    rgba = np.array(image.convert("RGBA"))
    if rgba[..., 3].min() == 255:
        raise InputError("no pixel of it is transparent; cut it out and save it as PNG or WebP")
    return rgba


def _without_alpha(rgba: np.ndarray) -> np.ndarray:
    """RGBA (H, W, 4) uint8 over white, rounded to nearest: (H, W, 3) uint8."""
    rgb = cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB)
    alpha = rgba[..., 3:].astype(np.uint16)
    if alpha.min() == 255:
        return rgb
    return ((rgb * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def as_rgb(image: AnyImage) -> np.ndarray:
    """An image as the library works on it, (H, W, 3) uint8 RGB.

    image: a file's path, its bytes, or the file itself, opened in binary mode, see `read_image`; an image of Pillow, as
        its pixels lie, whatever its EXIF orientation; or an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of gray,
        RGB or RGBA samples: uint8, or floats from 0 to 1. Transparent pixels lie over white, as in `read_image`.

    Raises:
        InputError: it is something else; or the file can't be read.
    """
    if isinstance(image, Image.Image):
        return _read(image, "the image", _to_rgb)
    if isinstance(image, str | Path | bytes) or hasattr(image, "read"):
        return read_image(image)
    taken = (
        "give a path, bytes, a file, an image of Pillow, or an array (H, W), (H, W, 3) or (H, W, 4) of uint8, or of "
        "floats from 0 to 1"
    )
    if not isinstance(image, np.ndarray):
        raise InputError(f"the image is of type {type(image).__name__}; {taken}")
    is_image = image.size and (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3, 4)))
    if not is_image or (image.dtype != np.uint8 and image.dtype.kind != "f"):
        raise InputError(f"the image is an array {image.shape} of {image.dtype}; {taken}")
    if image.dtype != np.uint8:
        low, high = image.min(), image.max()
        if not (low >= 0 and high <= 1):  # NaN too
            raise InputError(f"the image is an array of {image.dtype} from {low:g} to {high:g}; {taken}")
        image = np.round(image.astype(np.float32) * 255).astype(np.uint8)
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    return image if image.shape[2] == 3 else _without_alpha(image)


def write_image(path: str | Path, rgb: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB, whole or not at all, in the format of the suffix; JPEG and WebP at quality 92.

    The metadata name this program, for `is_marked`; a BMP has none.

    Raises:
        InputError: an unknown suffix, a path that can't be written to, or a picture too large for the format.
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


def write_animation(path: str | Path, frames: Sequence[Image.Image], seconds: Sequence[float]) -> None:
    """Write an animated WebP that repeats for ever, in place, marked as by `write_image`; seconds: of each frame."""
    first, *others = frames
    first.save(
        path, "WEBP", save_all=True, append_images=others, duration=[1000 * s for s in seconds], loop=0, **_ANIMATED
    )


def is_marked(path: str | Path) -> bool:
    """Whether a file is a picture that `write_image` wrote, or a PNG that names MARK as its software. Decodes none."""
    try:
        with Image.open(path, formats=_FORMATS) as image:
            if image.format == "PNG":
                return image.info.get("Software") == MARK
            return image.getexif().get(_EXIF_SOFTWARE) == MARK
    except Exception:  # no picture, or a damaged one; Pillow's readers meet that with nearly any exception
        return False


def is_image_name(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def reduced(image: np.ndarray, longest: int) -> tuple[np.ndarray, float]:
    """The image with its longer side at most `longest` pixels, and the factor it was multiplied with."""
    height, width = image.shape[:2]
    factor = min(1.0, longest / max(height, width))
    if factor == 1:
        return image, 1.0
    return geometry.resize(image, max(1, round(height * factor)), max(1, round(width * factor))), factor
