"""Decoded images in a file: the same pixels as without it, whatever happens to the file or to the photos."""

import multiprocessing
import os
import pickle
import shutil
import sys

import numpy as np
import pytest
from conftest import SAMPLE

import evaluate
from data_load import FacialKeypointsDataset, join, open_split
from face68.files import InputError


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "images"


@pytest.fixture
def pixels(tiny):
    """The images of `tiny`, decoded without a cache."""
    return images_of(open_split(tiny, "training"))


def images_of(data: FacialKeypointsDataset) -> list[np.ndarray]:
    return [np.array(data.image(i)) for i in range(len(data))]


def assert_same(some: list[np.ndarray], others: list[np.ndarray]) -> None:
    for one, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(one, other)


def spoil(path) -> None:
    """Make an image unreadable so that its name, size and time don't tell."""
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def spoil_all(data: FacialKeypointsDataset) -> FacialKeypointsDataset:
    """What this data set still shows afterwards comes from the cache."""
    for path in data.paths:
        spoil(path)
    return data


def test_images_are_decoded_once(tiny, folder, pixels):
    data = spoil_all(open_split(tiny, "training").preload(folder))
    assert_same(images_of(data), pixels)
    assert_same(images_of(open_split(tiny, "training").preload(folder)), pixels)
    with pytest.raises(ValueError, match="read-only"):
        data.image(0)[:] = 0


def test_the_folder_is_the_users_own_unless_one_is_given(tiny, tmp_path, monkeypatch, pixels):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert_same(images_of(open_split(tiny, "training").preload()), pixels)
    assert len(list((tmp_path / "cache" / "facial-landmarks" / "images").iterdir())) == 1


def test_parts_and_joined_sets_read_from_the_cache(tiny, tmp_path, folder, pixels):
    shutil.copytree(tiny, tmp_path / "other")
    one, other = (open_split(path, "training").preload(folder) for path in (tiny, tmp_path / "other"))
    part = join([spoil_all(one), spoil_all(other)]).subset([3, 15], None)
    assert_same(images_of(part), [pixels[3], pixels[3]])
    assert len(list(folder.iterdir())) == 2


def test_pickled_it_holds_no_pixels(folder):
    plain, data = open_split(SAMPLE, "training"), open_split(SAMPLE, "training").preload(folder)
    assert sum(image.nbytes for image in images_of(data)) > 10_000_000
    assert len(pickle.dumps(data)) < 1.1 * len(pickle.dumps(plain))


def test_what_workers_get_that_do_not_fork_reads_from_the_cache(tiny, folder, pixels):
    data = spoil_all(open_split(tiny, "training").preload(folder))
    assert_same(images_of(pickle.loads(pickle.dumps(data))), pixels)


def test_a_cache_that_went_away_is_done_without(tiny, folder, pixels):
    pickled = pickle.dumps(open_split(tiny, "training").preload(folder))
    shutil.rmtree(folder)
    assert_same(images_of(pickle.loads(pickled)), pixels)


def test_an_image_of_another_time_is_decoded_anew(tiny, folder):
    victim = open_split(tiny, "training").preload(folder).paths[5]
    spoil(victim)
    open_split(tiny, "training").preload(folder)
    os.utime(victim, ns=(0, victim.stat().st_mtime_ns + 1))
    with pytest.raises(InputError, match=victim.name):
        open_split(tiny, "training").preload(folder)


def test_an_image_of_another_size_is_decoded_anew_and_the_old_cache_goes(tiny, folder, pixels):
    data = open_split(tiny, "training").preload(folder)
    victim, other = data.paths[5], data.paths[6]
    before = victim.stat()
    shutil.copy(other, victim)
    os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert_same(images_of(open_split(tiny, "training").preload(folder)), [*pixels[:5], pixels[6], *pixels[6:]])
    assert len(list(folder.iterdir())) == 1


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at:][1:]


DAMAGE = {
    "first pixel": lambda content: flipped(content, 0),
    "amid the pixels": lambda content: flipped(content, len(content) // 2),
    "checksum": lambda content: flipped(content, len(content) - 1),
    "length of the index": lambda content: flipped(content, len(content) - 12),
    "end of the index": lambda content: flipped(content, len(content) - 13),
    "in the index": lambda content: flipped(content, len(content) - 200),
    "empty": lambda content: b"",
    "nearly empty": lambda content: content[:5],
    "cut off": lambda content: content[:-1],
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_cache_is_made_anew(tiny, folder, pixels, kind):
    open_split(tiny, "training").preload(folder)
    (file,) = folder.iterdir()
    file.write_bytes(DAMAGE[kind](file.read_bytes()))
    assert_same(images_of(spoil_all(open_split(tiny, "training").preload(folder))), pixels)


def test_images_beyond_the_budget_are_decoded_at_each_access(tiny, folder, pixels):
    budget = sum(image.nbytes for image in pixels[:4]) / 2**20
    data = open_split(tiny, "training").preload(folder, budget)
    assert_same(images_of(data), pixels)
    (file,) = folder.iterdir()
    assert file.stat().st_size < budget * 2**20 + 10_000
    spoil_all(data)
    assert_same(images_of(data.subset(range(4), None)), pixels[:4])
    with pytest.raises(InputError, match=data.paths[11].name):
        data.image(11)


def test_another_budget_is_obeyed_and_a_budget_of_nothing_too(tiny, folder, pixels):
    for budget in (1000, 0, 1000):
        data = open_split(tiny, "training").preload(folder, budget)
        assert_same(images_of(data), pixels)
        (file,) = folder.iterdir()
        assert (file.stat().st_size > 100_000) == (budget > 0)
        before = file.stat().st_mtime_ns
        open_split(tiny, "training").preload(folder, budget)
        assert file.stat().st_mtime_ns == before, "made once"


def test_a_folder_that_cannot_be_written_costs_a_line(tiny, tmp_path, pixels, capsys):
    (tmp_path / "file").write_text("mine")
    data = open_split(tiny, "training").preload(tmp_path / "file" / "images")
    assert_same(images_of(data), pixels)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("note: ") and "can't be written" in line
    spoil(data.paths[7])
    with pytest.raises(InputError, match=data.paths[7].name):
        open_split(tiny, "training").preload(tmp_path / "file" / "images")


def test_an_unreadable_image_leaves_no_half_a_cache(tiny, folder):
    spoil(open_split(tiny, "training").paths[7])
    with pytest.raises(InputError, match="is not an image"):
        open_split(tiny, "training").preload(folder)
    assert not list(folder.iterdir())


def preload_at_once(barrier, root, folder):
    data = open_split(root, "training")
    barrier.wait(60)
    data.preload(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_two_processes_may_make_it_at_once(tiny, folder, pixels):
    fork = multiprocessing.get_context("fork")
    barrier = fork.Barrier(2)
    processes = [fork.Process(target=preload_at_once, args=(barrier, tiny, folder)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    assert len(list(folder.iterdir())) == 1
    assert_same(images_of(spoil_all(open_split(tiny, "training").preload(folder))), pixels)


def test_the_commands_have_options_for_it(tiny, folder, train_here, monkeypatch):
    def line(name: str) -> list[str]:
        return ["--data", str(tiny), "--cache-dir", str(folder / name), "--cache-mb", "1"]

    result = train_here(*line("train"), "--dry-run")
    assert (result.status, result.stderr) == (0, "")
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *line("evaluate"), "--split", "training"])
    evaluate.open_data(evaluate.parse_arguments())
    for name in ("train", "evaluate"):
        (file,) = (folder / name).iterdir()
        assert 100_000 < file.stat().st_size < 1_100_000
