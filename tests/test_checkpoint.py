"""Checkpoints describe themselves and are read without running anything; what runs one says what its network says."""

import resource
import shutil
import subprocess
import zipfile

import numpy as np
import pytest
import torch
from conftest import PRETRAINED

from benchmarks.hostile import HARMLESS, HOSTILE, bomb
from face68.files import InputError
from face68.geometry import CropPolicy
from face68.network import BATCH
from models import create_model
from training import checkpoint as training_checkpoint
from training.checkpoint import (
    TorchNetwork,
    build_model,
    describe_versions,
    git_commit,
    load_checkpoint,
    save_checkpoint,
)

FAST = PRETRAINED.with_name("pretrained_fast.pt")


def test_it_comes_back_as_it_was(tmp_path):
    checkpoint = load_checkpoint(PRETRAINED)
    save_checkpoint(tmp_path / "folder" / "a.pt", checkpoint)
    again = load_checkpoint(tmp_path / "folder" / "a.pt")
    weights, others = checkpoint.pop("weights"), again.pop("weights")
    assert checkpoint == again and weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert not build_model(again | {"weights": others}, "a.pt").training
    assert TorchNetwork(tmp_path / "folder" / "a.pt").policy == CropPolicy(**again["policy"])


@pytest.mark.parametrize("content", ["missing", "folder", "text"])
def test_what_is_no_checkpoint_is_one_line(content, tmp_path):
    path = tmp_path / "a.pt"
    if content == "folder":
        path.mkdir()
    elif content == "text":
        path.write_text("no checkpoint")
    with pytest.raises(InputError) as error:
        TorchNetwork(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


CHANGES = [
    {"model": "resnet"},
    {"model": "net"},  # the weights are another's
    {"options": {"depth": 9}},
    {"weights": {}},
    {"policy": {"size": "large"}},
    {"policy": {"width": 112}},
    {"annotators": ["ibug"]},  # the weights know two
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_what_does_not_belong_together_is_one_line(change, tmp_path):
    save_checkpoint(tmp_path / "a.pt", load_checkpoint(FAST) | change)
    with pytest.raises(InputError, match=r"a\.pt: does not fit") as error:
        TorchNetwork(tmp_path / "a.pt")
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def small():
    """A checkpoint of few weights."""
    shipped, options = load_checkpoint(PRETRAINED), {"widths": [2, 2, 2, 2, 2]}
    weights = create_model(shipped["model"], shipped["annotators"], **options).state_dict()
    return shipped | {"options": options, "weights": weights}


@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind != "zip bomb"])
def test_a_hostile_one_is_one_line(kind, small, tmp_path, monkeypatch):
    """The attacks of benchmarks/hostile.py."""
    monkeypatch.chdir(tmp_path)
    HOSTILE[kind](tmp_path / "a.pt", small)
    if kind in HARMLESS["predict"]:
        TorchNetwork(tmp_path / "a.pt")
        return
    with pytest.raises(InputError, match=r"a\.pt: ") as error:
        TorchNetwork(tmp_path / "a.pt")
    assert "\n" not in str(error.value) and not (tmp_path / "ran").exists()


def test_a_zip_bomb_is_refused_before_it_is_unpacked(small, tmp_path, monkeypatch):
    bomb(tmp_path / "a.pt", small, 1 << 26)
    monkeypatch.setattr(zipfile.ZipFile, "testzip", None)
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(InputError, match="isn't packed as torch does"):
        load_checkpoint(tmp_path / "a.pt")


def test_sizes_are_compared_before_a_network_takes_memory(tmp_path, monkeypatch):
    devices, create = [], training_checkpoint.create_model
    monkeypatch.setattr(
        training_checkpoint,
        "create_model",
        lambda *a, **o: devices.append(torch.empty(0).device.type) or create(*a, **o),
    )
    build_model(load_checkpoint(PRETRAINED), "a.pt")
    assert devices == ["meta", "cpu"]
    with pytest.raises(InputError, match="weights are missing or of other sizes"):
        build_model(load_checkpoint(PRETRAINED) | {"options": {"widths": [3000] * 5}}, "a.pt")
    assert devices == ["meta", "cpu", "meta"]


def test_every_flipped_bit_of_the_weights_is_found(tmp_path):
    content = FAST.read_bytes()
    with zipfile.ZipFile(FAST) as archive:
        places = [entry.header_offset + 1000 for entry in archive.infolist() if entry.file_size > 2000]
    assert len(places) > 20
    for i, place in enumerate(places):
        changed = bytearray(content)
        changed[place] ^= 1 << i % 8
        (tmp_path / "a.pt").write_bytes(changed)
        with pytest.raises(InputError, match=r"a\.pt: (is damaged|not a checkpoint)"):
            load_checkpoint(tmp_path / "a.pt")


def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.pt"
    save_checkpoint(path, load_checkpoint(FAST))
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        for size in (0, 1000, 1_000_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
            with pytest.raises(InputError, match=r"a\.pt: can't be written \(File too large\)"):
                save_checkpoint(path, load_checkpoint(FAST))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_what_runs_it_says_what_its_network_says():
    """Of any number of crops, in bytes and pixels."""
    network = TorchNetwork(PRETRAINED)
    crops = np.random.default_rng(0).integers(0, 256, (BATCH + 2, 112, 112), dtype=np.uint8)
    said = network(crops)
    assert said.keypoints.shape == (BATCH + 2, 68, 2) and said.errors.shape == (BATCH + 2, 68)
    model, policy = build_model(load_checkpoint(PRETRAINED), PRETRAINED), network.policy
    with torch.inference_mode():
        outputs = model(torch.from_numpy(crops[-3:, None] / np.float32(255)))
    pixels = (outputs.keypoints.numpy() + 1) * policy.size / 2 - 0.5
    np.testing.assert_allclose(said.keypoints[-3:], pixels, atol=1e-3)
    np.testing.assert_allclose(said.errors[-3:], outputs.log_errors.exp().numpy() * policy.size / 2, rtol=1e-3)
    np.testing.assert_allclose(said.face_scores[-3:], outputs.face_logits.sigmoid().numpy(), atol=1e-4)


def test_versions_need_no_distribution_of_a_certain_name(monkeypatch):
    """cv2 comes from the headless and the contrib wheel as well."""
    import importlib.metadata

    def none(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", none)
    versions = describe_versions()
    assert {"torch", "numpy", "opencv", "git_commit"} == versions.keys() and all(versions.values())


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not here")
def test_the_commit_is_that_of_the_checkout_and_says_whether_files_differ(tmp_path, monkeypatch):
    def git(*words) -> str:
        line = ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a", *words]
        return subprocess.run(line, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.setattr(training_checkpoint, "__file__", str(tmp_path / "checkpoint.py"))
    (tmp_path / "a").write_text("one")
    git("init"), git("add", "a"), git("commit", "--no-gpg-sign", "-m", "one")
    commit = git("rev-parse", "HEAD")[:12]
    assert git_commit() == commit
    (tmp_path / "a").write_text("two")
    assert git_commit() == f"{commit}+"


def test_outside_of_a_git_checkout_the_commit_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    assert git_commit() == "unknown"
