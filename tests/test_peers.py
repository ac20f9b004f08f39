"""Others' programs are asked as they are meant to be, and compared by a rule that is the same for all."""

import importlib
import shutil
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import pytest
from conftest import PRETRAINED, SHARED, SHIPPED

from benchmarks import peers
from evaluation.metrics import nme
from face68 import geometry
from face68.files import InputError
from face68.images import reduced
from face68.landmarker import Landmarker
from face68.landmarks import FLIP, OUTER_EYE_CORNERS, inter_ocular
from face68.network import OnnxNetwork


def here(peer: Callable):
    """A peer; without its package the test is skipped."""
    try:
        return peer()
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not here")


@pytest.mark.parametrize("peer", [peers.MediaPipe, peers.Dlib, peers.EnlargedDlib])
def test_a_peers_points_are_the_68_points(peer, hopper, landmarker: Landmarker):
    """Each is about where our network has it: a wrong number or order would move it further."""
    (theirs,), (ours,) = here(peer)(hopper), landmarker(hopper)
    apart = np.linalg.norm(theirs.keypoints - ours.keypoints, axis=1) / inter_ocular(ours.keypoints)
    assert apart[27:].max() < 0.12 and apart.max() < 0.35 and apart.mean() < 0.1
    assert theirs.box == pytest.approx(geometry.box_of(theirs.keypoints))


def test_mesh_vertices_of_both_halves_mirror_each_other(hopper):
    find = here(peers.MediaPipe)
    (face,), (mirrored,) = find(hopper), find(np.ascontiguousarray(hopper[:, ::-1]))
    back = (mirrored.keypoints * (-1, 1) + (hopper.shape[1] - 1, 0))[FLIP]
    assert nme(back[None], face.keypoints[None])[0] < 0.03


@pytest.mark.parametrize("peer", [peers.MediaPipe, peers.Dlib])
def test_a_peer_finds_nothing_in_nothing(peer):
    assert here(peer)(np.full((200, 300, 3), 128, np.uint8)) == []


@pytest.mark.parametrize(("peer", "least", "most"), [(peers.MediaPipe, 3, 5), (peers.Dlib, 90, 110)])
def test_a_peers_models_are_files_of_their_known_size(peer, least, most):
    peer = here(peer)
    assert least < sum(file.stat().st_size for file in peer.files) / 1e6 < most
    assert peer.trained_on


@pytest.fixture(scope="module")
def yunet_file():
    path = SHARED / "models" / "face_detection_yunet_2026may.onnx"
    if not path.is_file():
        pytest.skip("YuNet's file is not here")
    return path


def test_yunet_finds_what_opencvs_own_finds(yunet_file, hopper):
    """In pictures whose sides are no multiples of 32, of one face, two and none."""
    yunet = peers.YuNet(yunet_file)
    network = cv2.FaceDetectorYN.create(str(yunet_file), "", (320, 320), yunet.least_score)
    for image in (hopper[:600, :500], np.hstack([hopper, hopper[:, ::-1]])[:400, :901], hopper[:120, :100]):
        small, factor = reduced(np.ascontiguousarray(image), 320)
        network.setInputSize(small.shape[1::-1])
        _, rows = network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        expected = np.zeros((0, 5)) if rows is None else np.column_stack([rows[:, :4] / factor, rows[:, -1]])
        faces = yunet.search(image, 320)
        np.testing.assert_allclose(faces[faces[:, 0].argsort()], expected[expected[:, 0].argsort()], atol=0.2)
    (face,) = Landmarker(SHIPPED, yunet)(cv2.resize(hopper, None, fx=4, fy=4))
    assert face.box[2] - face.box[0] == pytest.approx(750, rel=0.25)


def test_another_network_is_no_yunet():
    with pytest.raises(InputError, match="is no YuNet"):
        peers.YuNet(SHIPPED)


def test_dlib_finds_smaller_faces_in_an_enlarged_picture(hopper):
    small = geometry.resize(hopper, *(side // 5 for side in hopper.shape[:2]))  # a face of about 48 px
    assert here(peers.Dlib)(small) == []
    assert len(here(peers.EnlargedDlib)(small)) == 1


def test_ours_is_the_library_and_says_what_its_two_files_were_trained_on(hopper, landmarker: Landmarker, tmp_path):
    network = shutil.copy(SHIPPED, tmp_path / "mine.onnx")
    ours = peers.Ours("ours", network)
    (face,), (expected,) = ours(hopper), Landmarker(OnnxNetwork(SHIPPED))(hopper)
    np.testing.assert_array_equal(face.keypoints, expected.keypoints)
    assert [file.name for file in ours.files] == ["mine.onnx", "detector.onnx"]
    assert ours.trained_on == "points: data, 300w, afw, infants; detector: data, 300w, afw, infants"
    with pytest.raises(InputError, match=r"give another \.onnx file"):
        peers.Ours("ours", PRETRAINED)


def test_dlibs_detector_finds_a_box_on_the_face(hopper, landmarker):
    found = here(peers.DlibDetector)(hopper)
    (face,) = landmarker(hopper)
    assert found.scores.shape == (1,)
    assert geometry.overlap(found.boxes[0], geometry.box_of(face.keypoints)) > 0.5
    nothing = here(peers.DlibDetector)(np.zeros((100, 100, 3), np.uint8))
    assert nothing.boxes.shape == (0, 4) and nothing.scores.shape == (0,)


@pytest.mark.parametrize("peer", [peers.MediaPipe, peers.Dlib])
def test_a_peer_finds_all_faces_or_the_largest(peer, hopper):
    small = geometry.resize(hopper, *(side // 2 for side in hopper.shape[:2]))
    pair = np.zeros((hopper.shape[0], hopper.shape[1] + small.shape[1], 3), np.uint8)
    pair[:, : hopper.shape[1]] = hopper
    pair[: small.shape[0], hopper.shape[1] :] = small
    (face,) = here(partial(peer, largest=True))(pair)
    assert len(here(peer)(pair)) == 2
    assert face.keypoints[:, 0].max() < hopper.shape[1] + 1


def test_mediapipe_follows_faces_through_a_film(hopper):
    follow = here(partial(peers.MediaPipe, film=True, faces=1))
    first, second = follow(hopper), follow(hopper)
    assert len(first) == len(second) == 1
    assert nme(second[0].keypoints[None], first[0].keypoints[None])[0] < 0.02


def test_what_is_not_installed_is_one_line_and_costs_no_other(capsys):
    def missing():
        importlib.import_module("there_is_no_such_module")

    (one,) = peers.installed(missing, lambda: "here", missing, lambda: peers.folder_of("there_is_no_other"))
    assert one == "here"
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "there_is_no_such_module is not installed: pip install there_is_no_such_module"
    assert len(lines) == 2 and "there_is_no_other" in lines[1]


SHAPE = np.random.default_rng(0).normal(size=(68, 2))
SHAPE[OUTER_EYE_CORNERS] = (-0.5, 0), (0.5, 0)


def six(shape: np.ndarray) -> np.ndarray:
    """A shape (68, 2) as six faces, (6, 68, 2) px: of six sizes, turned to six sides, somewhere else each."""
    places = [geometry.similarity((0, 0), (100 + 50 * i, 80), scale=40 + 30 * i, degrees=60 * i) for i in range(6)]
    return np.stack([geometry.transform_points(shape, place) for place in places])


@pytest.fixture
def faces():
    return six(SHAPE)


def test_a_habit_of_the_annotation_comes_off_whatever_the_size_and_turn_of_the_face(faces):
    habit = np.random.default_rng(1).normal(scale=0.05, size=(68, 2))
    habit[OUTER_EYE_CORNERS] = (0.02, -0.01)  # both corners alike, so that the frame stays
    predicted = six(SHAPE + habit)
    assert nme(predicted, faces).mean() > 0.04
    np.testing.assert_allclose(peers.without_offsets(predicted, faces), faces, atol=1e-3)


def test_no_face_is_cured_by_its_own_offset(faces):
    predicted = faces.copy()
    predicted[::2, :36] += 5  # of every other face
    cured = peers.without_offsets(predicted, faces)
    np.testing.assert_allclose(cured[::2], predicted[::2], atol=1e-3)
    assert (np.abs(cured[1::2, :36] - faces[1::2, :36]).max(axis=(1, 2)) > 1).all()


def test_a_missed_face_counts_30_percent(faces):
    predicted = faces.copy()
    predicted[1] = np.nan
    predicted[0, 0] += (68 * 0.04 * 40, 0)  # an eye distance of 40 px: an NME of 4%
    figures = peers.accuracy(predicted, faces)
    assert (figures["photos"], figures["missed"]) == (6, 1)
    assert figures["nme_found"] == pytest.approx(0.04 / 5, rel=1e-3)
    assert figures["nme_all"] == pytest.approx((0.04 + 0.3) / 6, rel=1e-3)
    assert figures["fr8"] == pytest.approx(1 / 6), "a missed face has failed"


def test_where_no_face_is_found_there_is_no_nme_of_those(faces):
    figures = peers.accuracy(np.full_like(faces, np.nan), faces)
    assert [figures[key] for key in ("missed", "nme_all", "fr8")] == [6, pytest.approx(0.3), 1]
    assert np.isnan([figures["nme_found"], figures["nme_offsets_off"]]).all()
