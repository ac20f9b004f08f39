"""What benchmark.py changes about photos moves their points along, and its table counts what it says."""

import sys

import numpy as np
import pytest
from conftest import PRETRAINED, SAMPLE, YUNET

import benchmark
from data_load import read_csv
from face68 import geometry
from face68.formats import write_pts


@pytest.fixture
def spot():
    """An image with one bright disc and 68 points that surround it evenly: their mean is its centre."""
    y, x = np.mgrid[0:120, 0:90]
    image = np.where(((x - 30) ** 2 + (y - 70) ** 2 < 36)[..., None], 255, 0).astype(np.uint8).repeat(3, axis=2)
    angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    return image, np.column_stack([30 + 20 * np.cos(angles), 70 + 20 * np.sin(angles)]).astype(np.float32)


def brightest(image: np.ndarray) -> tuple[float, float]:
    weight = np.where(image[..., 0] > 128, image[..., 0] - 128.0, 0)  # 128 is what a shrunk photo lies on
    rows, columns = np.indices(weight.shape)
    return (weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()


@pytest.mark.parametrize("degrees", [0, 30, 90])
def test_turned_points_stay_on_their_face(spot, degrees):
    image, points = benchmark.turned(*spot, degrees)
    np.testing.assert_allclose(points.mean(axis=0), brightest(image), atol=0.3)
    assert np.ptp(points, axis=0) == pytest.approx((40, 40), rel=0.02), "turned, not scaled"


@pytest.mark.parametrize("side", [80, 20])
def test_shrunk_points_stay_on_their_face(spot, side):
    image, points = benchmark.shrunk(*spot, side)
    assert image.shape == (480, 640, 3)
    np.testing.assert_allclose(points.mean(axis=0), brightest(image), atol=0.3)
    assert np.ptp(points, axis=0).max() == pytest.approx(side, rel=0.05)


def test_yaw_is_estimated_from_points_alone():
    """A solid head (mm; x to its left, y down, z away from the viewer) in known poses, with noise on the points."""
    random = np.random.default_rng(0)
    head = np.zeros((68, 3))
    head[27:31] = [(0, -30, -5), (0, -15, -13), (0, 0, -21), (0, 15, -29)]
    head[31:36] = [(-14, 22, -12), (-7, 25, -17), (0, 27, -20), (7, 25, -17), (14, 22, -12)]
    head[[36, 39, 42, 45]] = [(-45, -30, 10), (-15, -28, 3), (15, -28, 3), (45, -30, 10)]
    yaw = random.uniform(-60, 60, 200)
    faces = []
    for angle in yaw:
        sin, cos = np.sin(np.radians(angle)), np.cos(np.radians(angle))
        view = head @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]]).T
        roll = geometry.similarity((0, 0), (90, 50), random.uniform(0.5, 2), random.normal(0, 10))
        faces.append(geometry.transform_points(view[:, :2], roll))
    assert faces[yaw.argmax()][30, 0] > faces[yaw.argmax()][[36, 45], 0].mean(), "the nose points to the right"
    labels = np.stack(faces) + random.normal(0, 0.3, (200, 68, 2))
    np.testing.assert_allclose(benchmark.estimate_yaw(labels), yaw, atol=8)


def test_detectors_on_photos_with_pts_files(tmp_path, monkeypatch, capsys):
    if not YUNET.is_file():
        pytest.skip("YuNet's file is not here")
    names, keypoints = read_csv(SAMPLE / "test_frames_keypoints.csv")
    for name, points in list(zip(names, keypoints, strict=True))[:2]:
        (tmp_path / name).write_bytes((SAMPLE / "test" / name).read_bytes())
        write_pts((tmp_path / name).with_suffix(".pts"), points)
    line = ["benchmark.py", "--checkpoint", PRETRAINED, "detectors", "--data", tmp_path, "--split", "training"]
    monkeypatch.setattr(sys, "argv", list(map(str, line)))
    args = benchmark.parse_arguments()
    args.function(args)
    header, _, _, truth, none, haar, yunet = capsys.readouterr().out.splitlines()
    assert "2 photos" in header
    assert truth.split()[:5] == ["truth", "100.0%", "(100.0%)", "0.000", "(0.000)"]
    assert [row.split()[0] for row in (none, haar, yunet)] == ["none", "haar", "yunet"]
