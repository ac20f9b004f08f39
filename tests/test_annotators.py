"""Annotators differ, and a network learns by how much: in the face's own frame, and for labels of each kind."""

import shutil

import numpy as np
import pytest
import torch
from conftest import PRETRAINED, SAMPLE, SHIPPED
from hypothesis import given
from hypothesis import strategies as st

import evaluate
import train
from data_load import FacialKeypointsDataset, join, open_split
from datasets.labels import write_csv
from datasets.layout import FOLDS, split_by_person
from evaluation.metrics import point_errors, region_errors
from evaluation.predictions import predict_all
from face68 import geometry
from face68.annotators import IBUG, PUBLIC, annotators_of, from_text, reference_first, to_annotator, to_text
from face68.files import InputError
from face68.formats import write_pts
from face68.landmarker import Landmarker
from face68.landmarks import FLIP, LEFT_EYE, MOUTH_CORNERS, NOSE_TIP, REGIONS, RIGHT_EYE, face_frames, upright_frame
from face68.network import OnnxNetwork, Predictions
from models import Annotators, create_model
from training import inspection, onnx_export
from training.checkpoint import TorchNetwork, load_checkpoint, start_from


@pytest.fixture(scope="module")
def faces():
    """Points of four drawn faces, (4, 68, 2) px."""
    return open_split(SAMPLE, "test").keypoints[::13]


def learned(offsets: np.ndarray) -> Annotators:
    """As if these offsets (68, 2) of a second annotator had been learned."""
    annotators = Annotators(["one", "other"])
    with torch.no_grad():
        annotators.others[0] = torch.from_numpy(offsets)
    return annotators


def test_ibug_is_the_reference_else_the_annotator_of_the_first_set():
    assert reference_first([PUBLIC, IBUG, "mine", IBUG]) == (IBUG, PUBLIC, "mine")
    assert reference_first(["mine", PUBLIC, "mine"]) == ("mine", PUBLIC)


def test_who_labelled_a_set(tmp_path):
    pts = tmp_path / "faces"
    pts.mkdir()
    shutil.copy(SAMPLE / "test" / open_split(SAMPLE, "test").names[0], pts / "a.jpg")
    write_pts(pts / "a.pts", open_split(SAMPLE, "test").keypoints[0])
    assert open_split(SAMPLE, "training").source_annotators == ["sample"]
    assert open_split(pts, "training").source_annotators == [IBUG]
    (pts / "label_shift.json").write_text('{"annotators": "me", "x": 0.01}')
    both = join([open_split(SAMPLE, "training"), open_split(pts, "training")])
    assert both.annotators == ("sample", "me") and both.label_shifts[-1].any()
    assert both[0]["annotator"] == 0 and both[len(both) - 1]["annotator"] == 1
    for wrong in ('{"annotators": 3}', '{"annotators": ""}', '{"annotator": "me"}'):
        (pts / "label_shift.json").write_text(wrong)
        with pytest.raises(InputError, match=r"label_shift\.json: expected .*annotators"):
            open_split(pts, "training")


def test_a_sample_of_one_kind_names_no_annotator():
    assert "annotator" not in FacialKeypointsDataset(SAMPLE / "test_frames_keypoints.csv", SAMPLE / "test")[0]


def test_the_frame_is_that_of_the_crops(faces):
    axes, _, sides = face_frames(faces)
    for points, (x, _), side in zip(faces, axes, sides, strict=True):
        box, degrees = upright_frame(points)
        assert side == pytest.approx(box[2] - box[0], rel=1e-4)
        assert np.degrees(np.arctan2(x[1], x[0])) == pytest.approx(-degrees, abs=1e-3)


def test_offsets_by_hand(faces):
    """A level face: a tenth of its side down, for one point."""
    level = np.array(faces[:1])
    level[0, REGIONS["eyes"], 1] = level[0, REGIONS["eyes"], 1].mean()
    level[0, MOUTH_CORNERS, 0] += level[0, [*RIGHT_EYE, *LEFT_EYE], 0].mean() - level[0, MOUTH_CORNERS, 0].mean()
    offsets = np.zeros((68, 2), np.float32)
    offsets[NOSE_TIP] = 0, 0.1  # on the axis: as it is; sideways it could not differ
    moved = learned(offsets).to_annotator(torch.from_numpy(level), torch.tensor([1])).detach().numpy()
    side = np.ptp(level[0], axis=0).max()
    assert moved[0, NOSE_TIP, 1] - level[0, NOSE_TIP, 1] == pytest.approx(0.1 * side, rel=1e-4)
    assert np.abs(np.delete(moved - level, NOSE_TIP, axis=1)).max() < 1e-4
    unmoved = learned(offsets).to_annotator(torch.from_numpy(level), torch.tensor([0])).detach().numpy()
    np.testing.assert_array_equal(unmoved, level)


@given(degrees=st.floats(-180, 180), scale=st.floats(0.1, 10), mirror=st.booleans(), seed=st.integers(0, 2**16))
def test_it_does_not_matter_how_a_face_is_turned_enlarged_or_mirrored(faces, degrees, scale, mirror, seed):
    faces = faces[[seed % len(faces)]]
    annotators = learned(np.random.default_rng(seed).normal(0, 0.02, (68, 2)).astype(np.float32))
    matrix = geometry.similarity((60, 60), (20, 30), scale, degrees, mirror)

    def moved(points):
        points = geometry.transform_points(points, matrix)
        return points[:, FLIP] if mirror else points

    def to_reference(points):
        return annotators.to_reference(torch.from_numpy(points), torch.tensor([1])).detach().numpy()

    np.testing.assert_allclose(to_reference(moved(faces)), moved(to_reference(faces)), atol=2e-3 * scale)


def test_text_is_read_back_and_other_text_is_none():
    annotators = learned(np.random.default_rng(0).normal(0, 0.02, (68, 2)).astype(np.float32)).learned()
    for name, one in from_text(to_text(annotators)).items():
        np.testing.assert_array_equal(one.offsets, annotators[name].offsets)
        assert one[1:] == annotators[name][1:]
    good = to_text(annotators)
    for wrong in (
        good.replace("1.0", "NaN"),
        "[1]",
        '{"a": 1}',
        '{"a": {"offsets": [[1, 2]], "factor": 1, "scatter": 0}}',
        "{",
        "[" * 100_000,
    ):
        with pytest.raises(ValueError):
            from_text(wrong)


def test_what_a_network_expects_of_other_labels(faces):
    """Points move by the offsets, errors grow by factor and scatter; of unknown annotators nothing changes."""
    network = TorchNetwork(PRETRAINED)
    errors = np.full((len(faces), 68), 2.0, np.float32)
    predicted = Predictions(faces, errors, None)
    assert to_annotator(predicted, network, "nobody") is predicted
    offsets, factor, scatter = annotators_of(network)[PUBLIC]
    theirs = to_annotator(predicted, network, PUBLIC)
    sides = face_frames(faces)[2]
    off = np.linalg.norm(theirs.keypoints - faces, axis=-1) / sides[:, None]
    np.testing.assert_allclose(off, np.tile(np.linalg.norm(offsets, axis=1), (len(faces), 1)), atol=1e-5)
    expected = np.sqrt((2 * factor) ** 2 + (scatter * sides) ** 2)
    np.testing.assert_allclose(theirs.errors, np.tile(expected[:, None], (1, 68)), rtol=1e-5)
    mixed = to_annotator(predicted, network, ["nobody", PUBLIC, IBUG, PUBLIC])
    for i, expected in enumerate((predicted, theirs, predicted, theirs)):
        np.testing.assert_allclose(mixed.keypoints[i], expected.keypoints[i], rtol=1e-6)
        np.testing.assert_allclose(mixed.errors[i], expected.errors[i], rtol=1e-6)
    missed = predicted._replace(keypoints=faces * np.nan)
    assert np.isnan(to_annotator(missed, network, PUBLIC).keypoints).all()


def test_the_shipped_networks_know_both_annotators_and_so_do_their_files():
    known, exported = annotators_of(TorchNetwork(PRETRAINED)), annotators_of(OnnxNetwork(SHIPPED))
    assert list(known) == list(exported) == [IBUG, PUBLIC]
    assert not known[IBUG].offsets.any() and known[IBUG][1:] == (1, 0)
    for one, other in zip(known[PUBLIC], exported[PUBLIC], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    down = known[PUBLIC].offsets[:, 1]
    assert down[REGIONS["nose"]].mean() > 0.01 > 0 > down[REGIONS["brows"]].mean(), "as 300-W and the public set differ"


def test_an_exported_file_that_tells_nonsense_is_named(tmp_path):
    import onnx

    model = onnx.load(SHIPPED)
    entries = {entry.key: entry.value for entry in model.metadata_props if entry.key != "crc32"}
    onnx_export._write(model, tmp_path / "a.onnx", entries | {"annotators": "[]"})
    with pytest.raises(InputError, match=r"a\.onnx: its annotators can't be read"):
        annotators_of(OnnxNetwork(tmp_path / "a.onnx"))


def test_what_others_taught_is_not_taken_over_by_fine_tuning():
    shipped = load_checkpoint(PRETRAINED)
    same, other = (create_model("base", names) for names in ((IBUG, PUBLIC), (IBUG, "mine")))
    assert start_from(same, shipped, PRETRAINED) == ""
    assert start_from(other, shipped, PRETRAINED) == "annotators"
    assert same.annotators.others.any() and not other.annotators.others.any()


@pytest.fixture
def lower_noses(tmp_path):
    """A copy of the sample's training faces whose annotators put noses lower, by 10% of the face's side."""
    root = tmp_path / "lower"
    shutil.copytree(SAMPLE / "training", root / "training")
    data = open_split(SAMPLE, "training")
    sides = np.ptp(data.keypoints, axis=1).max(axis=1)
    data.keypoints[:, list(REGIONS["nose"]), 1] += 0.1 * sides[:, None]
    write_csv(root / "training_frames_keypoints.csv", data.names, data.keypoints)
    return root


def test_training_learns_how_two_sets_differ(lower_noses, tmp_path, trained):
    """The same pictures with two kinds of labels: one network, right about both; as one annotator it can't be."""
    options = "--recipe best --model fast --init fast --epochs 3 --batch-size 4 --train-faces 64"
    line = [*options.split(), "--data", str(SAMPLE), "--data", str(lower_noses)]
    networks, noses = {}, {}
    for name, more in {"learned": [], "one": ["--one-annotator"]}.items():
        trained(train.parse_arguments([*line, *more, "--output-dir", str(tmp_path / name)]))
        networks[name] = TorchNetwork(tmp_path / name / "best.pt")
        for folder in (SAMPLE, lower_noses):
            data = open_split(folder, "training")
            data = data.subset(split_by_person(data.people, 0, FOLDS)[1], None)
            landmarker = Landmarker(networks[name])
            points = to_annotator(predict_all(landmarker, data, "truth"), networks[name], data.labelled_by).keypoints
            noses[name, folder] = region_errors(point_errors(points, data.keypoints))["nose"].mean()
            # The points are the first set's; evaluation adds what the other one's annotators do, and says so.
            is_added = "the annotator of lower" in evaluate.describe_labels(data, landmarker)
            assert is_added == (name == "learned" and folder == lower_noses)
    for folder in (SAMPLE, lower_noses):
        assert noses["learned", folder] < 0.8 * noses["one", folder], noses

    annotators = networks["learned"].annotators
    assert list(annotators) == ["sample", "lower"] and networks["one"].annotators == {}
    down = annotators["lower"].offsets[:, 1]
    assert down[REGIONS["nose"]] == pytest.approx(0.07, abs=0.03), "on the way to 0.1, after 48 steps"
    assert np.abs(np.delete(down, REGIONS["nose"])).mean() < 0.02
    with pytest.raises(InputError, match="one kind of labels"):
        inspection.other_annotators(networks["one"], np.zeros((112, 112), np.uint8))
