"""Points that are hidden or covered: labels say it, training leaves them out, and a network learns to say it."""

import json
import math

import cv2
import numpy as np
import pytest
import torch
from conftest import SAMPLE, SHIPPED, one_line_error
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import default_collate

import evaluate
import train
from data_load import RandomErase, crop_face, evaluation_transform, open_split
from datasets.labels import read_csv
from evaluation import metrics
from face68.draw import COLORS, draw_keypoints
from face68.files import InputError
from face68.formats import (
    ImageResult,
    read_coco,
    read_faces_csv,
    read_json,
    read_pts,
    write_coco,
    write_faces_csv,
    write_json,
    write_pts,
)
from face68.geometry import CropPolicy
from face68.landmarker import Landmarker
from face68.landmarks import COVERED, FLIP, HIDDEN, INNER_LIPS, LEFT_EYE, RIGHT_EYE, SEEN, UNSAID, Face, face_frames
from face68.measures import CAMERA_DISTANCE, LEAST_KNOWN, MEAN_FACE, POSED, RIGID_MODEL, filled, measure, measured
from models import create_model, mean_under
from training.checkpoint import TorchNetwork, load_checkpoint, start_from
from training.losses import heatmap_loss, keypoint_loss, point_weights, visibility_loss, wing_loss


def seen_from(yaw: float, size: float = 80.0) -> np.ndarray:
    """The mean face, turned by degrees of yaw, as a camera sees it: (68, 2) px."""
    rotation = cv2.Rodrigues(np.array([0.0, math.radians(yaw), 0.0]))[0]
    x, y, depth = rotation @ ((MEAN_FACE - RIGID_MODEL.weights @ MEAN_FACE[POSED]) * (1, 1, -1)).T
    return 100 + size * np.column_stack([x, y]) / (1 + depth / CAMERA_DISTANCE)[:, None]


@pytest.fixture
def half(tmp_path):
    """The sample's training faces with visibility: of every second one the lower half is gray, its points are covered;
    of the others the left eye is said to be hidden, without positions.
    """
    data, root = open_split(SAMPLE, "training"), tmp_path / "half"
    (root / "training").mkdir(parents=True)
    rows = [",".join(["image", *map(str, range(204))])]
    for i, points in enumerate(data.keypoints):
        image, visibility = data.image(i).copy(), np.full(68, SEEN)
        cells = [f"{value:.2f}" for value in points.ravel()]
        if i % 2:
            middle = round(float(points[:, 1].mean()))
            image[middle:] = 127
            visibility[points[:, 1] > middle] = COVERED
        else:
            visibility[LEFT_EYE] = HIDDEN
            for point in LEFT_EYE:
                cells[2 * point : 2 * point + 2] = "", ""
        cv2.imwrite(str(root / "training" / data.names[i]), image[..., ::-1])
        rows.append(",".join([data.names[i], *cells, *map(str, visibility)]))
    (root / "training_frames_keypoints.csv").write_text("\n".join(rows) + "\n")
    return root


def test_a_csv_says_what_can_be_seen(half):
    labels = read_csv(half / "training_frames_keypoints.csv")
    assert (labels.visibility[0, LEFT_EYE] == HIDDEN).all() and np.isnan(labels.keypoints[0, LEFT_EYE]).all()
    assert set(np.unique(labels.visibility[1])) == {SEEN, COVERED} and np.isfinite(labels.keypoints[1]).all()
    data = open_split(half, "training")
    assert np.isfinite(data.keypoints).all() and np.isnan(data.labelled[0, LEFT_EYE]).all()
    off = np.linalg.norm(data.keypoints[0] - open_split(SAMPLE, "training").keypoints[0], axis=1)
    assert off[LEFT_EYE].max() < 10 and not np.delete(off, LEFT_EYE).any(), "a guess where the eye is, px"
    assert (read_csv(SAMPLE / "test_frames_keypoints.csv").visibility == UNSAID).all()
    assert not open_split(SAMPLE, "test").says_visibility and "visibility" not in open_split(SAMPLE, "test")[0]


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        (137, "2", r"row 2, column 138: '2' is none of 1, 0, -1"),
        (137, "", "row 2, column 138: '' is none of"),
        (1, "", "row 2, column 2: no coordinate"),
        (0, "", "row 2, column 1: no file name"),
    ],
)
def test_a_cell_that_can_not_be_is_one_line(half, column, cell, message):
    path = half / "training_frames_keypoints.csv"
    header, first, *rows = path.read_text().splitlines()
    cells = first.split(",")
    cells[column] = cell
    path.write_text("\n".join([header, ",".join(cells), *rows]) + "\n")
    with pytest.raises(InputError, match=message):
        read_csv(path)


def test_a_pts_file_may_leave_points_out(tmp_path):
    points = seen_from(0).astype(np.float32)
    write_pts(tmp_path / "a.pts", points)
    lines = (tmp_path / "a.pts").read_text().splitlines()
    lines[3 + 5] = "-1 -1"
    (tmp_path / "a.pts").write_text("\n".join(lines))
    read = read_pts(tmp_path / "a.pts")
    assert np.isnan(read[5]).all() and np.abs(np.delete(read - points, 5, axis=0)).max() < 1e-3


@given(st.floats(-80, 80), st.floats(20, 300))
def test_what_is_filled_in_is_where_the_mean_face_has_it(yaw, size):
    points = seen_from(yaw, size)
    is_known = MEAN_FACE[:, 0] * np.sign(yaw or 1) <= 0.1  # the half that is nearer, and the middle
    assert np.abs(filled(points, is_known) - points).max() < 0.02 * size
    np.testing.assert_array_equal(filled(points, np.ones(68, bool)), points)
    few = np.zeros(68, bool)
    few[POSED[: LEAST_KNOWN - 1]] = True
    np.testing.assert_allclose(filled(points, few)[~few], np.tile(points[few].mean(axis=0), (61 + 8 - LEAST_KNOWN, 1)))


@pytest.mark.parametrize("yaw", [0, 45, 80, 90, -90])
@pytest.mark.parametrize("roll", [0, 30, 150, -90])
def test_a_face_from_the_side_has_a_steady_frame(yaw, roll):
    """Its eyes lie in nearly one place, so the line between them says little of what is level."""
    matrix = cv2.getRotationMatrix2D((100, 100), -roll, 1.0)
    random = np.random.default_rng(0)
    points = np.stack([seen_from(yaw) + random.normal(0, 1.0, (68, 2)) for _ in range(20)]) @ matrix[:, :2].T
    axes = face_frames(points)[0]
    degrees = np.degrees(np.arctan2(axes[:, 0, 1], axes[:, 0, 0]))
    assert np.abs((degrees - roll + 180) % 360 - 180).max() < 8


def test_hidden_points_teach_nothing_and_covered_ones_half():
    torch.manual_seed(0)
    visibility = torch.full((3, 68), UNSAID, dtype=torch.int8)
    visibility[0, :10], visibility[1, 10:20] = HIDDEN, COVERED
    weights = point_weights(visibility)
    assert weights[0, :10].sum() == 0 and weights[1, 10:20].sum() == 5 and weights[2].sum() == 68
    points, target, is_face = torch.rand(3, 68, 2), torch.rand(3, 68, 2), torch.ones(3)
    other = target.clone()
    other[0, :10] += 5
    for loss in (
        lambda truth: keypoint_loss(wing_loss, points, truth, is_face, weights),
        lambda truth: heatmap_loss(torch.zeros(3, 68, 8, 8), truth, is_face, weights),
    ):
        assert loss(target) == loss(other)
    by_hand = [
        (wing_loss(points[i], target[i], reduction="none").mean(1) * weights[i]).sum() / weights[i].sum()
        for i in range(3)
    ]
    assert keypoint_loss(wing_loss, points, target, is_face, weights) == pytest.approx(
        float(sum(by_hand)) / 3, rel=1e-5
    )


def test_the_visibility_loss_counts_points_of_which_something_is_said():
    visibility = torch.tensor([[SEEN, COVERED, HIDDEN, UNSAID], [UNSAID] * 4])
    logits = torch.tensor([[2.0, -1.0, 0.5, 9.0], [7.0, 7.0, 7.0, 7.0]])
    by_hand = (math.log1p(math.exp(-2)) + math.log1p(math.exp(-1)) + math.log1p(math.exp(0.5))) / 3
    assert visibility_loss(logits, visibility, torch.ones(2)) == pytest.approx(by_hand, rel=1e-5)
    assert visibility_loss(logits, visibility, torch.tensor([0.0, 1.0])) == 0


def test_errors_are_of_the_points_that_have_labels():
    truth = np.stack([seen_from(0)] * 2)
    predicted = truth + np.array([3.0, 4.0])
    truth[1, :60] = np.nan
    predicted[1, :60] += 100
    extent = np.ptp(truth[1, 60:], axis=0)
    assert metrics.nme(predicted, truth, "box") == pytest.approx(
        [5 / metrics.box_side(truth[0]), 5 / math.sqrt(extent.prod())]
    )
    assert math.isnan(metrics.nme(predicted, truth)[1]), "the eyes have no labels"
    missed = metrics.all_point_errors(predicted * np.nan, truth, "box")
    assert np.isnan(missed[1, :60]).all() and (missed[1, 60:] == metrics.MISSED).all()
    summary = metrics.summary(predicted, truth, ["a", "b"], "box")
    assert summary["nme_by_region"]["mouth"] > 0 and summary["faces"] == 2


def test_transforms_take_visibility_along(half):
    data = open_split(half, "training")
    plain, mirrored = (crop_face(data[0], CropPolicy(), mirror=mirror) for mirror in (False, True))
    np.testing.assert_array_equal(mirrored["visibility"], plain["visibility"][FLIP])
    torch.manual_seed(0)
    erased = RandomErase(1.0, 0.5)(plain)
    changed = (erased["image"] != plain["image"]).any(axis=2)
    x, y = np.round(erased["keypoints"]).astype(int).clip(0, 111).T
    newly = (erased["visibility"] == COVERED) & (plain["visibility"] != COVERED)
    assert newly.any() and changed[y[newly], x[newly]].all() and (erased["visibility"][36:42] != HIDDEN).all()
    assert (erased["visibility"][LEFT_EYE] == HIDDEN).all()


def test_a_network_learns_what_can_be_seen(half):
    """The head alone, on the features of the shipped network."""
    torch.manual_seed(0)
    model = create_model("fast", visibility=True).eval()
    shipped = SHIPPED.with_name("pretrained_fast.pt")
    assert start_from(model, load_checkpoint(shipped), shipped) == "visibility"
    data = open_split(half, "training", evaluation_transform(CropPolicy()))
    batch = default_collate([data[i] for i in range(60)])
    with torch.no_grad():
        features = model.features(batch["image"])[0]
        cells = model.heatmaps[0](features)
    optimizer = torch.optim.Adam(model.visibility.parameters(), 0.03)
    learning, kept_aside = slice(0, 40), slice(40, 60)
    for _ in range(60):
        logits = mean_under(cells[learning], model.visibility(features[learning]))
        loss = visibility_loss(logits, batch["visibility"][learning], torch.ones(40))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    said = mean_under(cells[kept_aside], model.visibility(features[kept_aside])).detach().numpy()
    labels = batch["visibility"][kept_aside].numpy()
    for kind in (COVERED, HIDDEN):
        curve = (said[labels == SEEN][:, None] > said[labels == kind]).mean()
        assert curve > 0.9, "the area under the curve"


def test_training_takes_the_head_where_labels_say_what_can_be_seen(half, trained, tmp_path):
    line = ["--model", "fast", "--init", "fast", "--epochs", "1", "--train-faces", "8", "--data"]
    training = trained(train.parse_arguments([*line, str(half), "--output-dir", str(tmp_path / "half")]))
    assert training.model.options == {"visibility": True}
    assert "visibility_loss" in training.snapshots[-1]["row"]
    network, data = TorchNetwork(tmp_path / "half" / "best.pt"), open_split(half, "training")
    (face,) = Landmarker(network, "none")(data.image(0))
    assert face.visible.shape == (68,) and (face.visible >= 0).all() and (face.visible <= 1).all()
    assert trained(train.parse_arguments([*line, str(SAMPLE)])).model.options == {}


def test_results_keep_what_can_be_seen(tmp_path):
    visible = np.linspace(0, 1, 68).astype(np.float32)
    face = Face((0.0, 0.0, 9.0, 9.0), None, seen_from(20).astype(np.float32), visible=visible)
    result = ImageResult("a.jpg", 90, 90, [face])
    write_json(tmp_path / "a.json", [result])
    write_coco(tmp_path / "a.coco.json", [result])
    write_faces_csv(tmp_path / "a.csv", [result])
    for read in (
        read_json(tmp_path / "a.json"),
        read_coco(tmp_path / "a.coco.json"),
        read_faces_csv(tmp_path / "a.csv"),
    ):
        np.testing.assert_allclose(read[0].faces[0].visible, visible, atol=0.006)
    (annotation,) = json.loads((tmp_path / "a.coco.json").read_text())["annotations"]
    assert annotation["keypoints"][2::3] == [1] * 34 + [2] * 34
    assert "visible" not in Face((0, 0, 1, 1), None, face.keypoints).to_dict()


def test_an_eye_that_cannot_be_seen_has_no_openness():
    points, visible = seen_from(20), np.ones(68)
    whole = measure(points)
    assert measure(points, visible) == whole
    visible[RIGHT_EYE] = 0.2
    one = measure(points, visible)
    assert math.isnan(one.right_eye) and one[4:] == whole[4:] and one.eye_openness == whole.left_eye
    visible[[*LEFT_EYE, *INNER_LIPS]] = 0.2
    nothing = measure(points, visible)
    assert np.isnan(nothing[3:]).all() and math.isnan(nothing.eye_openness) and nothing[:3] == whole[:3]
    face = Face((0, 0, 1, 1), None, points, visible=visible)
    assert measured([face])[0].measures["left_eye"] is None


def test_points_that_cannot_be_seen_are_hollow():
    visible, points = np.ones(68), seen_from(0, 300) + 200
    visible[30] = 0.4
    image = np.full((800, 800, 3), 128, np.uint8)
    x, y = np.round(points[30]).astype(int)
    solid, hollow = (draw_keypoints(image, points, radius=8, visible=v)[y + 3, x + 2] for v in (None, visible))
    assert tuple(solid) == COLORS["nose"] and np.abs(hollow.astype(int) - 128).max() < 20


def test_an_evaluation_needs_a_distance_that_all_faces_have(half, in_process):
    line = ("--data", half, "--split", "training", "--val-fold", "0", "--checkpoint", "fast")
    refused = one_line_error(in_process(evaluate.main, *line))
    assert "faces have no inter-ocular distance" in refused and "--norm box" in refused
    assert in_process(evaluate.main, *line, "--norm", "box").returncode == 0
