"""What comes in is bounded, in size, time and number, and what is beyond is told in a line."""

import functools
import itertools
import os
import struct
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import SAMPLE, encoded
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks.hostile import ANSWERS
from benchmarks.material import serving
from datasets import public_set
from datasets.labels import read_csv
from face68 import frames, geometry, images, photos
from face68.detect import Given
from face68.files import InputError, cache_folder
from face68.frames import FilmReader, film_writer
from face68.inputs import find_images, find_inputs

# --- Files ----------------------------------------------------------------------------------------------------


@pytest.fixture
def odd(tmp_path):
    """A folder with one photo, and what looks like photos and never ends."""
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    return tmp_path


def test_pipes_and_devices_are_not_found(odd):
    assert find_images(odd) == find_images(odd, recursive=True) == [odd / "photo.jpg"]
    assert find_inputs([str(odd / "*.jpg")]).sources == [str(odd / "photo.jpg")]


def test_a_pipe_that_is_named_is_read(odd):
    content = (odd / "photo.jpg").read_bytes()
    threading.Thread(target=(odd / "pipe.jpg").write_bytes, args=(content,), daemon=True).start()
    assert images.decoded_pixels(odd / "pipe.jpg") == 0, "its bytes come but once"
    assert images.read_image(odd / "pipe.jpg").shape == (8, 8, 3)


def test_what_never_ends_or_is_too_large_is_told(odd, monkeypatch):
    monkeypatch.setattr(images, "MAX_BYTES", 1_000_000)
    (odd / "giant.jpg").touch()
    os.truncate(odd / "giant.jpg", 2**40)
    for name in ("device.jpg", "giant.jpg"):
        with pytest.raises(InputError, match=f"{name}: has more than 1 MB; "):
            images.read_image(odd / name)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "LA", "RGBA", "CMYK", "1"])
def test_large_pictures_are_converted_in_strips(mode, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (50, 30, 4), dtype=np.uint8)
    content = encoded(Image.fromarray(noise).convert(mode), "TIFF")
    whole = images.read_image(content)
    monkeypatch.setattr(images, "_STRIP", 7 * 30)
    assert whole.std() > 0 and (images.read_image(content) == whole).all()


def test_decoded_pixels_are_those_that_come(tmp_path):
    for name, size in (("a.jpg", (640, 480)), ("b.png", (640, 480)), ("c.jpg", (641, 480))):
        Image.new("RGB", size).save(tmp_path / name)
        for least in (None, 100):
            read = functools.partial(images.read_reduced, least=least) if least else images.read_image
            image = getattr(read(tmp_path / name), "image", read(tmp_path / name))
            assert images.decoded_pixels(tmp_path / name, least) == image.shape[0] * image.shape[1]
    (tmp_path / "d.jpg").write_bytes(b"no photo")
    assert images.decoded_pixels(tmp_path / "d.jpg") == images.decoded_pixels(tmp_path / "none") == 0


def unknown_home():
    """As `Path.home` for a user whom the system doesn't know."""
    raise RuntimeError("Could not determine home directory.")


def test_without_a_home_a_line_says_what_to_set(monkeypatch):
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", unknown_home)
    with pytest.raises(InputError, match="XDG_CACHE_HOME: is not set, and no home is known"):
        cache_folder()


# --- Many at once ---------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2 * photos.AHEAD_PIXELS), max_size=30), st.integers(1, 4))
def test_prefetch_holds_no_more_pixels_than_it_may(weights, threads):
    """As many as AHEAD_PIXELS, or one item alone, are begun and not yet handed over."""
    begun = []

    def function(i):
        begun.append(i)
        return i

    for i, got in enumerate(photos.prefetch(function, range(len(weights)), threads, weights.__getitem__)):
        held = [weights[k] for k in begun if k > i]
        assert got == i and (len(held) <= 1 or sum(held) <= photos.AHEAD_PIXELS)
    assert sorted(begun) == list(range(len(weights)))


def test_a_photo_alone_and_among_others_is_the_same(landmarker):
    """Of an .onnx network; torch rounds batches of other sizes otherwise."""
    paths = sorted(map(str, (SAMPLE / "test").glob("*.jpg")))[:12]
    together = list(photos.find_faces(landmarker, paths, images.read_image))
    assert sum(len(photo.faces) for photo in together) >= 10
    for photo in together:
        (alone,) = photos.find_faces(landmarker, [photo.source], images.read_image)
        for one, other in zip(photo.faces, alone.faces, strict=True):
            np.testing.assert_allclose(one.keypoints, other.keypoints, atol=1e-3)


# --- Boxes and sides ------------------------------------------------------------------------------------------


@given(st.floats(-50, 150), st.floats(-50, 150), st.floats(0.6, 3), st.floats(-180, 180))
def test_what_is_cut_out_is_warped_as_the_whole(x, y, scale, degrees):
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    matrix = geometry.similarity((x, y), (20, 20), scale, degrees)
    whole = cv2.warpAffine(image, matrix, (40, 40))
    # Coordinates are rounded to 1/32 px: on a tie one may fall to the other side.
    assert np.abs(geometry.warp(image, matrix, 40, 40).astype(int) - whole).max() <= 8


@pytest.mark.parametrize("shape", [(40_000, 3), (3, 40_000), (480, 640)])
@pytest.mark.parametrize("side", [5, 300, 3e6, 2e7, 1e12])
def test_any_box_of_any_image_is_cropped_at_once(shape, side):
    image = np.full((*shape, 3), 200, np.uint8)
    middle = np.array(shape[::-1]) / 2
    start = time.monotonic()
    matrix = geometry.crop_matrix(np.concatenate([middle - side / 2, middle + side / 2]), geometry.CropPolicy())
    crop = geometry.warp(image, matrix, 112, 112)
    assert crop.shape == (112, 112, 3) and time.monotonic() - start < 1
    if side <= 300 and shape == (480, 640):
        assert (crop == 200).all()


@pytest.mark.parametrize("box", [(0, 0, 0, 9), (5, 5, 1, 9), (0, 0, 0.5, 0.5), (0, 0, 3e6, 9), (float("nan"), 0, 9, 9)])
def test_a_box_that_no_face_can_have_is_refused(box):
    with pytest.raises(InputError, match="no face can be there; give left,top,right,bottom"):
        Given([(1, 1, 5, 5), box])


# --- Numbers --------------------------------------------------------------------------------------------------


def test_a_csv_with_a_hundred_thousand_columns_is_told_at_once(tmp_path):
    names = ",".join(f"c{i}" for i in range(100_000))
    (tmp_path / "a.csv").write_text(f"{names}\n{names}\n")
    start = time.monotonic()
    with pytest.raises(InputError, match="row 1: 100000 columns found, 137 expected"):
        read_csv(tmp_path / "a.csv")
    assert time.monotonic() - start < 5


# --- Films ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """An AVI of twelve frames."""
    path = tmp_path_factory.mktemp("film") / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    for gray in range(12):
        writer.write(np.full((48, 64, 3), 20 * gray, np.uint8))
    writer.release()
    return path


def test_a_film_that_counts_two_billion_frames_ends(film, tmp_path):
    content = bytearray(film.read_bytes())
    for place in (content.index(b"avih") + 8 + 16, content.index(b"strh") + 8 + 32):
        content[place : place + 4] = struct.pack("<I", 2**31 - 1)
    (tmp_path / "b.avi").write_bytes(content)
    assert len(list(FilmReader(tmp_path / "b.avi"))) == 12


@given(st.lists(st.none() | st.floats(allow_nan=False), min_size=1, max_size=20))
def test_time_goes_on_whatever_a_film_says(stamps):
    times = [0.0]
    for told in stamps:
        times.append(frames.later(told, times[-1], 0.04))
    assert all(0 < later - one <= 86_400 for one, later in itertools.pairwise(times))


def test_frames_that_are_too_large_are_told(film, monkeypatch):
    monkeypatch.setattr(frames, "MAX_FRAME", 1000)
    with pytest.raises(InputError, match=r"a\.avi: its frames have 64×48 pixels, more than .*scale it down first"):
        FilmReader(film)


def test_fewer_large_frames_are_read_ahead(film, monkeypatch):
    assert FilmReader(film).ahead == 8
    for pixels, ahead in ((64 * 48 * 3, 3), (1, 1)):
        monkeypatch.setattr(frames, "AHEAD_PIXELS", pixels)
        assert FilmReader(film).ahead == ahead


def test_a_frame_that_can_t_be_read_in_a_film_without_a_count_is_told(tmp_path):
    """Concatenated JPEGs tell no count; behind the giant one, which FFmpeg refuses, the film goes on."""
    face = encoded(Image.new("RGB", (64, 48), (200, 0, 0)), "JPEG")
    giant = bytearray(face)
    at = giant.index(b"\xff\xc0") + 5
    giant[at : at + 4] = struct.pack(">2H", 40_000, 40_000)
    (tmp_path / "a.mjpeg").write_bytes(face * 5 + giant + face * 5)
    reader = FilmReader(tmp_path / "a.mjpeg")
    assert len(list(reader)) == 10
    assert reader.problem and "1 of 11 frames can't be read" in reader.problem


def test_an_animation_holds_no_more_pixels_than_it_may(tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "MAX_ANIMATION_PIXELS", 3 * 64 * 48)
    with pytest.raises(InputError, match="of that size has at most 3 frames"):  # noqa: SIM117
        with film_writer(tmp_path / "a.webp", 25, (64, 48)) as write:
            for _ in range(4):
                write(np.zeros((48, 64, 3), np.uint8))


# --- Downloads ------------------------------------------------------------------------------------------------


TOLD = {  # by the answers of benchmarks/hostile.py; of all others any one line will do
    "endless": "sends more than 1 MB",
    "dripping": "not done within 0.3 s",
    "dripping head": "not done within 0.3 s",
    "length of 10^20": "IncompleteRead",
    "other content": "other content than expected",
    "redirect to nowhere": "sent on to no address",
    "redirect to a file": "can't be downloaded",
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_hostile_server_is_a_line(tmp_path, monkeypatch, name):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    limits = {"BACKOFF": 0.001, "LONGEST_WAIT": 0.001, "DEADLINE": 0.3, "LARGEST": 2**20, "ATTEMPTS": 2}
    for limit, value in limits.items():
        monkeypatch.setattr(public_set, limit, value)
    start = time.monotonic()
    with serving(*ANSWERS[name]) as url, pytest.raises(InputError) as error:
        public_set.fetch(url, tmp_path / "a", 64 * "0")
    assert TOLD.get(name, "") in str(error.value) and "\n" not in str(error.value)
    assert time.monotonic() - start < 5 and not list(tmp_path.iterdir())
