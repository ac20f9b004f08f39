import json

import numpy as np
import pytest
from conftest import PRETRAINED, SAMPLE, one_line_error

import prepare
from data_load import open_split
from evaluation import label_shift
from face68 import geometry
from face68.geometry import CropPolicy
from face68.images import read_image
from face68.landmarks import FLIP, inter_ocular
from training.checkpoint import load_checkpoint, save_checkpoint

SHIFT = np.array([0.03, -0.02])  # to the right and up


def shifted_network(landmarker, data, **change):
    """What a network that learned the labels' shift predicts: right in the crop as it sees it, but for the shift."""
    points, policy = [], CropPolicy()
    for keypoints, eyes in zip(data.keypoints, inter_ocular(data.keypoints), strict=True):
        matrix = geometry.crop_matrix(geometry.box_of(keypoints), policy, **change)
        seen = geometry.transform_points(keypoints, matrix) + SHIFT * eyes * geometry.scale_of(matrix)
        points.append(geometry.transform_points(seen[FLIP] if change.get("mirror") else seen, geometry.invert(matrix)))
    points = np.stack(points)
    return points[:, FLIP] if change.get("mirror") else points


@pytest.fixture
def data(monkeypatch):
    monkeypatch.setattr(label_shift, "predict", shifted_network)
    return open_split(SAMPLE, "test")


def test_mirroring_shows_the_sideways_shift(data):
    found = label_shift.mirror_disagreement(None, data)
    np.testing.assert_allclose(found[:, 0], SHIFT[0], atol=1e-4)
    np.testing.assert_allclose(found[:, 1], 0, atol=1e-4)  # what mirroring can't see


@pytest.mark.parametrize("degrees", label_shift.TURNS)
def test_turning_shows_both(data, degrees):
    found = label_shift.turn_disagreement(None, data, degrees)
    np.testing.assert_allclose(found, np.tile(SHIFT, (len(data), 1)), atol=1e-4)


def test_a_networks_own_sideways_shift_cancels_in_the_offsets(data):
    found = label_shift.label_offsets(None, data)
    np.testing.assert_allclose(found[..., 0], 0, atol=1e-4)
    np.testing.assert_allclose(found[..., 1], -SHIFT[1], atol=1e-4)


def test_a_slant_is_told_from_a_shift(data):
    slanted = data.keypoints.copy()
    slanted[..., 1] += 0.02 * slanted[..., 0]  # and so further down as well
    offsets = (slanted - data.keypoints) / inter_ocular(data.keypoints)[:, None, None]
    assert label_shift.slant(offsets, data) == pytest.approx([0.02] * 3, abs=1e-5)
    assert label_shift.slant(offsets * 0 + [0.1, 0.3], data) == pytest.approx([0] * 3, abs=1e-6)


def test_what_grows_with_the_face_and_what_does_not_are_told_apart():
    random = np.random.default_rng(0)
    eyes = random.uniform(15, 120, 600)
    people = random.integers(0, 100, 600)
    shifts = 0.02 + 0.5 / eyes + random.normal(0, 0.005, 600)
    (fraction, *fractions), (pixels, *interval) = label_shift.grown_and_constant(shifts, eyes, people)
    assert fraction == pytest.approx(0.02, abs=2e-3) and pixels == pytest.approx(0.5, abs=0.06)
    assert fractions[0] < 0.02 < fractions[1] and interval[0] < 0.5 < interval[1]
    slope, intercept = np.polyfit(1 / eyes, shifts, 1)
    assert (fraction, pixels) == (pytest.approx(intercept), pytest.approx(slope))


def test_the_command(tmp_path, in_process, tiny):
    (tiny / "label_shift.json").write_text(json.dumps({"x": 0.05, "y": 0.01}))
    result = in_process(prepare.main, "shift", tiny, "--checkpoint", PRETRAINED, "--output", "eyes.png")
    assert result.returncode == 0, result.stderr
    assert "labels - network" in result.stdout and "same for all" not in result.stdout  # of few people
    assert read_image(tmp_path / "eyes.png").std() > 10


def test_the_command_tells_what_grows_with_the_face(tmp_path, in_process):
    checkpoint = load_checkpoint(PRETRAINED)
    del checkpoint["arguments"]["folds"]  # as before there was the option: a fifth of the people is unseen
    save_checkpoint(tmp_path / "older.pt", checkpoint)
    result = in_process(prepare.main, "shift", SAMPLE, "--checkpoint", "older.pt")
    assert result.returncode == 0, result.stderr
    for part in ("fold 0 of 5", "growing with the face", "the same for all", "slant"):
        assert part in result.stdout


def test_the_command_on_a_network_of_published_labels(tmp_path, train_here, in_process, tiny):
    arguments = ("--data", tiny, "--epochs", "1", "--batch-size", "4", "--output-dir", tmp_path / "run")
    assert train_here(*arguments, "--published-labels").status == 0
    result = in_process(prepare.main, "shift", tiny, "--checkpoint", tmp_path / "run" / "best.pt")
    assert result.returncode == 0, result.stderr
    assert "mirror disagreement" in result.stdout and "turned by 16 degrees" in result.stdout


def test_the_picture_says_which_labels_are_which(written):
    label_shift.eyes_sheet(open_split(SAMPLE, "test"))
    title, *names = [text for _, text, *_ in written]
    assert "published (above)" in title and "corrected (below)" in title
    assert len(set(names)) == label_shift.PICTURED and not any(text.endswith("…") for text in (title, *names))


def test_no_data_is_one_line(in_process):
    assert "nowhere" in one_line_error(in_process(prepare.main, "shift", "nowhere", "--checkpoint", PRETRAINED))
