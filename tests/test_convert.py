"""Points of other schemes and programs become the 68, and imglab's XML is written and read."""

from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import one_line_error
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from face68.convert import MESH_VERTICES, NEAREST, from_dlib, from_mediapipe, to_68, to_dlib
from face68.files import InputError
from face68.formats import ImageResult, is_result, read_imglab, write_imglab
from face68.landmarks import FLIP, Face

KEYPOINTS = np.random.default_rng(0).uniform(0, 500, (68, 2)).astype(np.float32)
FACE = Face((10.4, 20.6, 110.2, 130.0), 0.9, KEYPOINTS)
# The points of the mirrored face, by their makers' numbers: jaw, brows; bridge and nostrils, eyes, lips.
JAW_AND_BROWS = [*range(32, -1, -1), *range(46, 41, -1), 50, 49, 48, 47, *range(37, 32, -1), 41, 40, 39, 38]
MIRRORED = {
    98: [
        *JAW_AND_BROWS,
        *[51, 52, 53, 54, 59, 58, 57, 56, 55],
        *[72, 71, 70, 69, 68, 75, 74, 73, 64, 63, 62, 61, 60, 67, 66, 65],
        *[82, 81, 80, 79, 78, 77, 76, 87, 86, 85, 84, 83, 92, 91, 90, 89, 88, 95, 94, 93, 97, 96],
    ],
    106: [
        *JAW_AND_BROWS,
        *[51, 52, 53, 54, 65, 64, 63, 62, 61, 60, 59, 58, 57, 56, 55],
        *[79, 78, 77, 76, 75, 82, 81, 80, 83, 70, 69, 68, 67, 66, 73, 72, 71, 74],
        *[90, 89, 88, 87, 86, 85, 84, 95, 94, 93, 92, 91, 100, 99, 98, 97, 96, 103, 102, 101, 105, 104],
    ],
}


@pytest.mark.parametrize("count", NEAREST)
def test_a_schemes_points_become_68_different_ones(count):
    places = np.arange(count, dtype=np.float64)
    points = to_68(np.stack([places, -places], axis=1))
    assert points.shape == (68, 2) and points.dtype == np.float32
    np.testing.assert_array_equal(points[:, 0], NEAREST[count])
    assert len(set(points[:, 0])) == 68


@pytest.mark.parametrize("count", MIRRORED)
def test_a_mirrored_face_becomes_the_mirrored_68(count):
    """Which no table with a wrong number does."""
    points = np.random.default_rng(1).normal(size=(count, 2))
    mirrored = points[MIRRORED[count]] * (-1, 1)
    np.testing.assert_allclose(to_68(mirrored), (to_68(points) * (-1, 1))[FLIP], atol=1e-6)


def test_a_jaw_of_106_lies_between_its_points():
    points = np.zeros((2, 106, 2))
    points[..., 0] = np.arange(106)
    np.testing.assert_array_equal(to_68(points)[0, [0, 3, 8, 16], 0], [1.5, 7, 16, 30.5])


def test_other_numbers_of_points_are_refused():
    for shape in ((67, 2), (98, 3), (2,), (68,)):
        with pytest.raises(InputError, match=r"give \(…, N, 2\) with N of 68, 98, 106, 468, 478"):
            to_68(np.zeros(shape))


def test_mediapipes_shares_of_the_sides_become_pixels():
    landmarks = [SimpleNamespace(x=0.5, y=0.25, z=0.1) for _ in range(478)]
    landmarks[MESH_VERTICES[30]] = SimpleNamespace(x=1.0, y=0.0, z=0.0)  # the corner of the image's last pixel
    face = from_mediapipe(landmarks, 200, 100)
    np.testing.assert_array_equal(face.keypoints[[0, 30]], [[99.5, 24.5], [199.5, -0.5]])
    assert face.box == (99.5, -0.5, 199.5, 24.5) and face.score is None


def test_a_face_as_dlib_has_it_and_back():
    shape = to_dlib(FACE)
    assert shape.num_parts == 68 and len(shape.parts()) == 68
    assert (shape.part(36).x, shape.part(36).y) == tuple(np.rint(KEYPOINTS[36]))
    rect = shape.rect
    assert (rect.left(), rect.top(), rect.right(), rect.bottom()) == (10, 21, 110, 130)
    assert (rect.width(), rect.height()) == (101, 110)
    np.testing.assert_array_equal(from_dlib(shape).keypoints, np.rint(KEYPOINTS))


def test_dlib_itself_takes_it():
    dlib = pytest.importorskip("dlib")
    ours = to_dlib(FACE)
    theirs = dlib.full_object_detection(dlib.rectangle(*ours.rect), [dlib.point(*point) for point in ours.parts()])
    assert theirs.rect.width() == ours.rect.width() and theirs.rect.height() == ours.rect.height()
    np.testing.assert_array_equal(from_dlib(theirs).keypoints, from_dlib(ours).keypoints)


# --- imglab ---------------------------------------------------------------------------------------------------


@given(name=st.text(st.characters(exclude_categories=("C", "Z")), min_size=1), count=st.integers(0, 3))
def test_imglabs_xml_is_read_as_it_was_written(tmp_path_factory, name, count):
    path = tmp_path_factory.mktemp("xml") / "faces.xml"
    write_imglab(path, [ImageResult(name, 640, 480, [FACE] * count), ImageResult("b.jpg", 5, 6, [])])
    first, second = read_imglab(path)
    assert (first.image, first.width, first.height, len(first.faces)) == (name, 640, 480, count)
    assert (second.image, second.faces) == ("b.jpg", []) and is_result(path)
    for face in first.faces:
        assert face.box == (10, 21, 110, 130)
        np.testing.assert_array_equal(face.keypoints, np.rint(KEYPOINTS))


def test_a_file_of_imglab_itself_is_read(tmp_path):
    parts = "".join(f"<part name='{i:02}' x='{i}' y='{2 * i}'/>" for i in reversed(range(68)))
    path = tmp_path / "theirs.xml"
    path.write_text(
        "<?xml version='1.0' encoding='ISO-8859-1'?>\n<?xml-stylesheet type='text/xsl' href='x.xsl'?>\n"
        f"<dataset><name>a</name><images><image file='a.jpg'><box top='1' left='2' width='3' height='4'>{parts}</box>"
        "<box top='1' left='2' width='3' height='4' ignore='1'/></image></images></dataset>"
    )
    (image,) = read_imglab(path)
    assert (image.image, image.width, image.height) == ("a.jpg", 0, 0) and not is_result(path)
    (face,) = image.faces
    assert face.box == (2, 1, 4, 4)
    np.testing.assert_array_equal(face.keypoints, [(i, 2 * i) for i in range(68)])


BOX = "<dataset><image file='a'><box top='0' left='0' width='9' height='9'>{}</box></image></dataset>"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no xml",
        "<a><b></a>",
        "<!DOCTYPE d [<!ENTITY a 'b'>]><dataset/>",
        "<?xml version='1.0' encoding='nonsense'?><dataset/>",
        "<dataset><image/></dataset>",
        BOX.format("<part name='00' x='1' y='2'/>"),
        BOX.format("<part name='eye' x='1' y='2'/>"),
        BOX.format("".join(f"<part name='{i}' x='nan' y='2'/>" for i in range(68))),
    ],
)
def test_what_is_no_imglab_file_is_one_line(tmp_path, text):
    path = tmp_path / "faces.xml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"faces\.xml: (can't be read|image 1: )") as error:
        read_imglab(path)
    assert "\n" not in str(error.value)


def test_predict_writes_imglabs_xml(call, tmp_path, hopper):
    Image.fromarray(hopper).save(tmp_path / "photo.png")
    done = call("photo.png", "--no-pictures", "--imglab", "faces.xml")
    assert done.returncode == 0 and "faces.xml" in done.stdout
    (image,) = read_imglab(tmp_path / "faces.xml")
    assert image.image == "photo.png" and (image.width, image.height) == (512, 600) and len(image.faces) == 1
    assert ElementTree.parse(tmp_path / "faces.xml").getroot().tag == "dataset"
    (tmp_path / "faces.xml").write_text("<dataset>mine</dataset>")
    assert "is there and not this program's" in one_line_error(
        call("photo.png", "--no-pictures", "--imglab", "faces.xml")
    )
