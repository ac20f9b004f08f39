"""Expected errors are true of faces as the detector finds them, of each set's labels."""

import shutil

import numpy as np
import pytest
import torch
from conftest import PRETRAINED, SAMPLE

import train
from data_load import join, open_split
from evaluation.metrics import fit_scatter
from evaluation.predictions import predict_all
from face68.annotators import to_annotator
from face68.files import InputError
from face68.formats import write_pts
from face68.images import write_image
from face68.landmarker import Landmarker
from training.checkpoint import TorchNetwork, load_checkpoint, save_checkpoint
from training.keypoints import calibrate


@pytest.mark.parametrize(("factor", "scatter"), [(0.7, 0.02), (1.3, 0.0), (0.0, 0.03)])
def test_factor_and_scatter_are_found_again(factor, scatter):
    random = np.random.default_rng(0)
    expected = np.exp(random.normal(-4, 0.6, (400, 68)))
    measured = np.hypot(factor * expected, scatter) * random.exponential(1.0, expected.shape)
    found = fit_scatter(expected, measured)
    assert found == pytest.approx((factor, scatter), abs=0.05)
    assert found[1] == pytest.approx(scatter, abs=0.004)


def test_neither_is_negative():
    expected = np.linspace(0.01, 0.05, 1000)
    factor, scatter = fit_scatter(expected, expected - 0.005)  # half as large, to nine tenths
    assert 0.5 < factor < 0.9 and scatter == 0


def test_it_makes_errors_true_of_found_faces_and_twice_is_as_good_as_once(tmp_path):
    """On drawn faces, which are nothing that the shipped network was calibrated on."""
    path, data = tmp_path / "a.pt", open_split(SAMPLE, "test").subset(range(0, 50, 3), None)
    data.source_annotators = ["ibug"]
    shutil.copy(PRETRAINED, path)
    calibrate(path, data, "auto")
    once = load_checkpoint(path)["weights"]
    calibrate(path, data, "auto")
    twice = load_checkpoint(path)["weights"]
    before = load_checkpoint(PRETRAINED)["weights"]
    assert not torch.equal(before["calibration"], once["calibration"])
    for name, weights in twice.items():
        torch.testing.assert_close(weights, once[name], rtol=0, atol=0)
        if name != "calibration":
            torch.testing.assert_close(weights, before[name], rtol=0, atol=0)


def test_nothing_is_written_where_faces_are_too_few_or_none(tmp_path):
    """None is found on gray pictures, which are labelled all the same."""
    test = open_split(SAMPLE, "test")
    for i in range(10):
        write_image(tmp_path / "gray" / f"{i}.png", np.full((240, 240, 3), 128, np.uint8))
        write_pts(tmp_path / "gray" / f"{i}.pts", test.keypoints[0])
    path = tmp_path / "a.pt"
    shutil.copy(PRETRAINED, path)
    for data in (test.subset([0, 1], None), open_split(tmp_path / "gray", "training")):
        calibrate(path, data, "auto")
        assert path.read_bytes() == PRETRAINED.read_bytes()


def test_a_barely_trained_network_is_calibrated_and_runs(tmp_path):
    """It puts all points of a crop nearly in one: cropped around those, the next passes showed it nothing."""
    settings = train.parse_arguments(["--data", str(SAMPLE), "--model", "base", "--output-dir", str(tmp_path)])
    network, path = train.create_untrained(settings, torch.device("cpu")), tmp_path / "a.pt"
    with torch.no_grad():
        network.heatmaps[0].weight.mul_(1e-4)
        network.heatmaps[0].bias.zero_()
        network.calibration.copy_(torch.tensor([0.0, 200.0]))
    policy = {"size": 128, "margin": 1.2}
    whole = {"weights": network.state_dict(), "policy": policy}
    save_checkpoint(path, load_checkpoint(PRETRAINED) | {"annotators": []} | whole)
    with pytest.raises(InputError, match=r"a\.pt: says .*e-.*it has learned too little"):
        TorchNetwork(path)
    network.calibration.copy_(torch.tensor([0.0, 1.0]))
    save_checkpoint(path, load_checkpoint(PRETRAINED) | {"annotators": []} | whole)
    calibrate(path, open_split(SAMPLE, "test").subset(range(9), None), "auto")
    assert load_checkpoint(path)["weights"]["calibration"].tolist() != [0, 1]
    faces = Landmarker(TorchNetwork(path), min_face_score=0)(open_split(SAMPLE, "test").image(0))
    assert faces and all(np.isfinite(face.errors).all() for face in faces)


def test_expected_errors_are_as_large_as_measured_ones_by_the_labels_of_each_annotator(tmp_path):
    """Others' labels may be coarse: here each is off by 4 px, more than most points."""
    path, data = tmp_path / "a.pt", open_split(SAMPLE, "test")
    own, others = (data.subset(range(first, len(data), 2), None) for first in (0, 1))
    others.keypoints += np.random.default_rng(0).normal(0, 4, others.keypoints.shape).astype(np.float32)
    own.source_annotators, others.source_annotators = ["ibug"], ["public"]
    both = join([own, others])
    shutil.copy(PRETRAINED, path)
    calibrate(path, both, "auto")
    network = TorchNetwork(path)
    found = predict_all(Landmarker(network, min_face_score=0), both, "detector")
    theirs = to_annotator(found, network, both.labelled_by)
    measured = np.linalg.norm(theirs.keypoints - both.keypoints, axis=-1)
    for name in ("ibug", "public"):
        rows = both.labelled_by == name
        assert theirs.errors[rows].mean() == pytest.approx(measured[rows].mean(), rel=0.1), name
