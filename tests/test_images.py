"""Every kind of image file comes out as the pixels that went in, and every bad one as one line."""

import struct
import subprocess
import sys
import warnings
import zlib

import cv2
import numpy as np
import pytest
from conftest import REPOSITORY, encoded
from PIL import Image

from face68.files import InputError
from face68.images import MARKED_SUFFIXES, WRITABLE_SUFFIXES, is_marked, read_image, read_reduced, write_image

# Pillow's, of odd metadata; commands silence them, see test_arguments.py.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture
def rgb():
    """(20, 30, 3) uint8 noise: no two rows, columns or channels are alike."""
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture
def smooth():
    """(40, 60, 3) uint8 ramps, which JPEG keeps to a few levels."""
    y, x = np.mgrid[0:40, 0:60]
    return np.stack([x * 4, y * 6, 255 - x * 2 - y], axis=-1).astype(np.uint8)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_without_pixels(width: int, height: int) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", b"")


def one_line_error(source) -> str:
    with pytest.raises(InputError) as caught:
        read_image(source)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        *((file_format, {}) for file_format in ("PNG", "BMP", "TIFF", "PPM")),
        *(("TIFF", {"compression": kind}) for kind in ("tiff_lzw", "tiff_adobe_deflate", "packbits")),
        ("WEBP", {"lossless": True}),
    ],
)
def test_lossless_formats_keep_every_pixel_under_any_suffix(tmp_path, rgb, file_format, options):
    path = tmp_path / "wrong.jpg"
    Image.fromarray(rgb).save(path, file_format, **options)
    image = read_image(path)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, rgb)


def test_opaque_rgba_png_named_jpg_equals_opencv(tmp_path, rgb):
    path = tmp_path / "face.jpg"
    Image.fromarray(np.dstack([rgb, np.full((20, 30), 255, np.uint8)])).save(path, "PNG")
    np.testing.assert_array_equal(read_image(path), rgb)
    np.testing.assert_array_equal(read_image(path), cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1])


def test_jpeg_equals_opencv(tmp_path, smooth):
    path = tmp_path / "face.png"
    Image.fromarray(smooth).save(path, "JPEG", quality=95)
    opencv = cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(read_image(path).astype(int) - opencv).max() <= 2
    assert np.abs(read_image(path).astype(int) - smooth).mean() < 3


def test_gray_and_one_bit(rgb):
    gray = rgb[..., 0]
    np.testing.assert_array_equal(read_image(encoded(Image.fromarray(gray), "PNG")), np.dstack([gray] * 3))
    bits = np.where(gray > 127, 255, 0).astype(np.uint8)
    for file_format in ("PNG", "TIFF"):
        data = encoded(Image.fromarray(bits).convert("1"), file_format)
        np.testing.assert_array_equal(read_image(data), np.dstack([bits] * 3))


def test_palette_and_the_first_frame_of_a_gif():
    colours = np.array([[250, 10, 20], [0, 200, 90], [7, 8, 240]], np.uint8)
    indices = np.arange(12, dtype=np.uint8).reshape(3, 4) % 3
    frames = []
    for shift in range(2):
        frame = Image.fromarray((indices + shift) % 3, "L").convert("P")
        frame.putpalette(colours.flatten().tolist())
        frames.append(frame)
    np.testing.assert_array_equal(read_image(encoded(frames[0], "PNG")), colours[indices])
    animation = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)
    np.testing.assert_array_equal(read_image(animation), colours[indices])


def test_16_bit_samples_keep_their_upper_byte(tmp_path, rgb):
    deep = rgb.astype(np.uint16) * 256 + 77
    for suffix in (".png", ".tif"):
        path = tmp_path / f"deep{suffix}"
        cv2.imwrite(str(path), deep[..., ::-1])
        np.testing.assert_array_equal(read_image(path), rgb)
        cv2.imwrite(str(path), deep[..., 0])
        np.testing.assert_array_equal(read_image(path), np.dstack([rgb[..., 0]] * 3))


def test_transparency_lies_over_white(rgb):
    alpha = np.random.default_rng(1).integers(0, 256, (20, 30), dtype=np.uint8)
    alpha[0, 0], alpha[0, 1] = 0, 255
    image = read_image(encoded(Image.fromarray(np.dstack([rgb, alpha])), "PNG"))
    share = alpha[..., None] / 255
    np.testing.assert_allclose(image, rgb * share + 255 * (1 - share), atol=0.51)
    assert image[0, 0].tolist() == [255, 255, 255]
    assert image[0, 1].tolist() == rgb[0, 1].tolist()


def test_a_transparent_palette_entry_and_gray_with_alpha():
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    assert read_image(encoded(palette, "PNG", transparency=1)).tolist() == [[[10, 20, 30], [255, 255, 255]]]
    gray = Image.fromarray(np.array([[[100, 255], [100, 0]]], np.uint8), "LA")
    assert read_image(encoded(gray, "PNG")).tolist() == [[[100] * 3, [255] * 3]]


def test_cmyk_jpeg():
    colours = {"white": (255, 255, 255), "red": (255, 0, 0), "dark": (40, 40, 40)}
    for colour in colours.values():
        data = encoded(Image.new("RGB", (16, 16), colour).convert("CMYK"), "JPEG", quality=95)
        assert np.abs(read_image(data).astype(int) - colour).max() <= 4


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_taken_out(smooth, file_format, orientation):
    # What a camera would store so that the tag brings back `smooth`.
    stored = {
        1: smooth,
        2: smooth[:, ::-1],
        3: smooth[::-1, ::-1],
        4: smooth[::-1],
        5: smooth.transpose(1, 0, 2),
        6: np.rot90(smooth, 1),
        7: smooth[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(smooth, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100, "subsampling": 0} if file_format == "JPEG" else {}
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), file_format, exif=exif, **options)
    image = read_image(data)
    assert image.shape == smooth.shape
    assert np.abs(image.astype(int) - smooth).max() <= (4 if file_format == "JPEG" else 0)


@pytest.mark.parametrize(
    ("sides", "least", "factor"), [((60, 40), 30, 2), ((60, 41), 30, 1), ((48, 80), 10, 8), ((60, 88), 10, 4)]
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_jpeg_is_decoded_smaller(sides, least, factor, turned):
    """Pixel i of the small picture covers pixels factor × i … of the photo, however it is turned."""
    y, x = np.mgrid[0 : sides[1], 0 : sides[0]]
    ramps = np.stack([x * 2, y * 2, 0 * x], axis=-1).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    data = encoded(Image.fromarray(ramps), "JPEG", quality=98, subsampling=0, exif=exif)
    found = read_reduced(data, least=least)
    assert found.factor == factor
    whole = read_image(data).astype(int)
    rows, columns = (side // factor for side in whole.shape[:2])
    blocks = whole.reshape(rows, factor, columns, factor, 3).mean(axis=(1, 3))
    assert np.abs(found.image - blocks).mean() < 1.5
    assert read_reduced(encoded(Image.fromarray(ramps), "PNG"), least=least).factor == 1


def test_a_damaged_exif_block_does_not_hide_the_picture(smooth):
    data = encoded(Image.fromarray(smooth), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    assert read_image(data).shape == smooth.shape


def test_what_is_no_image_gives_one_line_that_names_it(tmp_path, smooth):
    path = tmp_path / "Ä photo.jpg"
    assert one_line_error(path) == f"{path}: no such file; check the path"
    assert one_line_error(tmp_path) == f"{tmp_path}: is a folder; give an image file"
    path.write_bytes(b"")
    assert one_line_error(path).startswith(f"{path}: is empty")
    path.write_text("just text")
    assert one_line_error(path).startswith(f"{path}: is not an image")
    assert one_line_error(b"just bytes").startswith("the image: is not an image")
    path.write_bytes(b"\0\0\0\x24ftypheic\0\0\0\0mif1heic")
    assert one_line_error(path).startswith(f"{path}: is HEIC, which isn't read; save as JPEG")


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_cut_off_file_is_an_error_not_a_half_gray_picture(tmp_path, rgb, file_format, share):
    data = encoded(Image.fromarray(rgb), file_format)
    path = tmp_path / "cut.jpg"
    path.write_bytes(data[: int(len(data) * share)])
    assert one_line_error(path).startswith(f"{path}: ")


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP", "GIF"])
def test_damage_never_raises_anything_else(smooth, file_format):
    data = encoded(Image.fromarray(smooth), file_format)
    rng = np.random.default_rng(2)
    refused = 0
    for _ in range(60):
        broken = np.frombuffer(data, np.uint8).copy()
        broken[rng.integers(0, len(broken), 6)] = rng.integers(0, 256, 6)
        try:
            image = read_image(broken.tobytes())
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
        else:
            assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
    assert refused > 0


def test_what_is_too_large_is_refused_by_the_header(monkeypatch):
    """The limit is Pillow's, and the host's to set."""
    assert "more than 178 megapixels" in one_line_error(png_without_pixels(16_000, 16_000))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2_000_000)
    assert "more than 4 megapixels" in one_line_error(png_without_pixels(2001, 2000))
    with pytest.warns(Image.DecompressionBombWarning):
        assert "is damaged" in one_line_error(png_without_pixels(2000, 2000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "more than 2 megapixels" in one_line_error(png_without_pixels(2000, 2000))


def test_the_library_leaves_its_host_alone():
    """Pillow's limit, its log and the warnings are the program's that imports it."""
    code = """
import logging, warnings
import cv2, numpy, onnxruntime  # which have ideas of their own
from PIL import Image
def settings():
    return Image.MAX_IMAGE_PIXELS, list(warnings.filters), logging.getLogger("PIL").level
before = settings()
import face68, face68.draw, face68.photos
print(settings() == before)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@pytest.mark.parametrize("file_format", ["EPS", "PCX", "ICO", "TGA"])
def test_formats_that_are_not_meant_are_no_images(tmp_path, rgb, file_format):
    """Pillow would read them; EPS by running Ghostscript on what a stranger wrote."""
    path = tmp_path / "photo.jpg"
    Image.fromarray(rgb).save(path, file_format)
    assert "is not an image" in one_line_error(path)


@pytest.mark.parametrize("file_format", ["AVIF", "JPEG2000", "MPO"])
def test_formats_that_are_meant_and_rare(smooth, file_format):
    Image.init()
    if file_format not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {file_format}")
    assert np.abs(read_image(encoded(Image.fromarray(smooth), file_format)).astype(int) - smooth).mean() < 4


def test_32_bit_samples_are_refused(tmp_path):
    path = tmp_path / "depth.tif"
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(path)
    assert one_line_error(path) == f"{path}: has 32-bit samples; save it with 8 or 16 bits"


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".TIFF"])
def test_written_pixels_are_read_back(tmp_path, rgb, suffix):
    path = tmp_path / "new folder" / f"out{suffix}"
    write_image(path, rgb)
    np.testing.assert_array_equal(read_image(path), rgb)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".webp"])
def test_written_photographs_are_close(tmp_path, smooth, suffix):
    path = tmp_path / f"out{suffix}"
    write_image(path, smooth)
    assert np.abs(read_image(path).astype(int) - smooth).mean() < 3
    assert Image.open(path).format == ("WEBP" if suffix == ".webp" else "JPEG")


@pytest.mark.parametrize("name", ["picture", "picture.docx", "picture.jpg.txt"])
def test_an_unknown_suffix_is_one_line_and_writes_nothing(tmp_path, rgb, name):
    with pytest.raises(InputError, match=r"can't tell the format.*\.png") as caught:
        write_image(tmp_path / name, rgb)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_too_large_for_its_format_leaves_the_old_file(tmp_path, rgb):
    path = tmp_path / "out.webp"
    write_image(path, rgb)
    before = path.read_bytes()
    with pytest.raises(InputError, match="can't be written"):
        write_image(path, np.zeros((1, 20_000, 3), np.uint8))
    assert path.read_bytes() == before


@pytest.mark.parametrize("suffix", sorted(WRITABLE_SUFFIXES))
def test_written_pictures_say_whose_they_are(tmp_path, rgb, smooth, suffix):
    """Until another program writes them anew. In a BMP there is no room for it."""
    path = tmp_path / f"out{suffix}"
    write_image(path, rgb)
    assert is_marked(path) == (suffix != ".bmp") == (suffix in MARKED_SUFFIXES)
    Image.fromarray(smooth).save(path)
    assert not is_marked(path)


def test_what_is_no_picture_of_ours_has_no_mark(tmp_path, smooth):
    path = tmp_path / "a.png"
    assert not is_marked(path)
    for content in (b"", b"face68", encoded(Image.fromarray(smooth), "JPEG")[:40], png_without_pixels(10**5, 10**5)):
        path.write_bytes(content)
        assert not is_marked(path)
    exif = Image.Exif()
    exif[0x0131] = "somebody's camera"
    path.write_bytes(encoded(Image.fromarray(smooth), "JPEG", exif=exif))
    assert not is_marked(path)
