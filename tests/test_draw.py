"""Drawings put the right colour on the right pixel, whatever they are given, and what is written can be read."""

import importlib.util
import itertools

import cv2
import numpy as np
import pytest
from conftest import SAMPLE, ink_boxes
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from data_load import open_split
from face68 import draw, geometry
from face68.landmarks import FLIP, REGIONS, Face


def gray(height=200, width=200):
    return np.full((height, width, 3), 128, np.uint8)


def face(scale=60.0, center=(100, 70)):
    """(68, 2) px."""
    return (draw.schematic_face() * scale + center).astype(np.float32)


def far_away(index, point):
    """Keypoints of which only one is inside of the picture."""
    points = np.full((68, 2), 1e7, np.float32)
    points[index] = point
    return points


def test_each_point_has_the_colour_of_its_region_and_the_image_is_left_alone():
    image, points = gray(1000, 1000), face(300, (500, 300))
    before = image.copy()
    drawn = draw.draw_keypoints(image, points)
    assert (image == before).all()
    for region, members in REGIONS.items():
        for x, y in np.round(points[list(members)]).astype(int):
            assert tuple(drawn[y, x]) == draw.COLORS[region], region


@pytest.mark.parametrize("x, y", [(20, 20), (20.25, 19.5), (19.8125, 20.4375), (21.5, 20.5)])
def test_points_are_drawn_at_sub_pixel_places(x, y):
    points = np.full((68, 2), np.nan)
    points[30] = x, y
    drawn = draw.draw_keypoints(gray(41, 41), points, radius=6)
    weight = np.abs(drawn.astype(float) - 128).sum(axis=2)
    rows, columns = np.indices(weight.shape)
    centroid = (weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()
    assert centroid == pytest.approx((x, y), abs=0.1)


def test_size_follows_the_face():
    def touched(scale):
        drawn = draw.draw_keypoints(gray(1600, 1600), face(scale, (800, 400)))
        return (drawn != 128).any(axis=2).sum()

    assert 3 < touched(600) / touched(200) < 15  # 9 when all sizes follow exactly


def test_the_truth_is_a_white_cross_at_its_place():
    points = np.full((68, 2), np.nan)
    truth = points.copy()
    truth[0] = 50, 60
    drawn = draw.draw_keypoints(gray(), points, truth, radius=5)
    for x, y in ((50, 60), (60, 60), (40, 60), (50, 70), (50, 50)):
        assert drawn[y, x].min() > 240
    assert (drawn[:43] == 128).all() and (drawn[:, 68:] == 128).all()
    assert (draw.draw_keypoints(gray(), points, None, radius=5) == 128).all()


def test_white_shows_on_white():
    white, middle = np.full((120, 200, 3), 255, np.uint8), np.full((68, 2), 60.0)
    nothing = np.full((68, 2), np.nan)
    for drawn in (
        draw.draw_keypoints(white, nothing, middle),
        draw.draw_squares(white, [(60, 60)], [50], [0], draw.WHITE),
    ):
        assert drawn.min() < 160 and (drawn[40:80, 40:80] == 255).any()


def test_the_error_is_a_line_from_the_truth_to_the_point():
    points, truth = np.full((2, 68, 2), np.nan)
    truth[0], points[0] = (50, 60), (150, 60)
    drawn = draw.draw_keypoints(gray(), points, truth, radius=3)
    assert (drawn[60, 60:140].min(axis=1) > 240).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 9), st.integers(1, 9), arrays(np.float32, (68, 2)), st.booleans())
def test_any_points_on_any_image(height, width, points, labelled):
    image = gray(height, width)
    drawn = draw.draw_keypoints(image, points, truth=points[::-1], numbers=labelled)
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    assert (image == 128).all()


def test_a_point_far_outside_hides_no_point_inside():
    drawn = draw.draw_keypoints(gray(), far_away(30, (100, 100)), radius=4)
    assert tuple(drawn[100, 100]) == draw.COLORS["nose"]


@pytest.mark.parametrize("view", [np.s_[::-1], np.s_[:, ::-1], np.s_[::2, ::2], np.s_[..., ::-1]])
def test_views_draw_like_copies(view):
    image = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)[view]
    drawn = draw.draw_keypoints(image, face())
    assert (drawn == draw.draw_keypoints(image.copy(), face())).all()


def test_faces_are_drawn_like_their_keypoints_and_have_boxes_when_asked():
    near = Face((20, 30, 180, 170), 0.5, face())
    drawn = draw.draw_faces(gray(), [near], boxes=True)
    assert drawn[30, 100].min() > 220 and drawn[100, 20].min() > 220 and drawn[170, 100].min() > 220
    assert (draw.draw_faces(gray(), [near]) == draw.draw_keypoints(gray(), face())).all()
    assert (draw.draw_faces(gray(), []) == 128).all()


@pytest.mark.parametrize("center", [(180, 120), (3, 5), (397, 390), (-50, 150), (1e4, 1e4), (-1e6, 50)])
def test_drawing_a_part_is_drawing_the_whole(center):
    """Only the face's part of a large photo is worked on; nobody may see that."""
    points = face(80.0, center)
    drawn = draw.draw_faces(gray(400, 400), [Face((0, 0, 9, 9), None, points)])
    np.testing.assert_allclose(drawn, draw.draw_keypoints(gray(400, 400), points), atol=2)


def test_confidence_is_a_ring_of_the_expected_error():
    errors = np.zeros(68, np.float32)
    errors[8] = 20
    known = Face((0, 0, 9, 9), 0.5, face(100, (150, 100)), errors, 0.25)
    drawn = draw.draw_faces(gray(300, 300), [known], confidence=True)
    x, y = np.round(known.keypoints[8]).astype(int)
    assert drawn[y + 20, x].min() > 200 and drawn[y - 20, x].min() > 200
    assert (drawn[40:60] != 128).any(), "the score stands above the face"


def test_a_small_face_is_lines_alone():
    """Its points would run into each other."""
    small, large = (draw.draw_keypoints(gray(400, 400), face(scale, (200, 150))) for scale in (40, 120))
    assert (large.max(axis=2) < 60).any(), "a point has a dark rim"
    assert not (small.max(axis=2) < 60).any()
    for region, color in draw.COLORS.items():
        assert (np.abs(small.astype(int) - color).max(axis=2) < 40).sum() > 5, f"{region} can't be seen"


@pytest.mark.parametrize("side", [120, 150, 200])
def test_an_eye_can_be_seen_between_its_points(side):
    points = face(side / 1.8, (1.2 * side, 0.8 * side))
    drawn = draw.draw_keypoints(gray(2 * side, 3 * side), points)
    eye = np.zeros(drawn.shape[:2], np.uint8)
    cv2.fillConvexPoly(eye, np.round(points[36:42]).astype(np.int32), 1)
    assert (drawn[eye == 1] == 128).all(axis=1).mean() > 0.33


def test_numbers_are_large_enough_to_read(written):
    draw.draw_faces(gray(100, 120), [Face((20, 20, 100, 90), None, face(20, (60, 40)))], numbers=True)
    assert min(y1 - y0 for _, (_, y0, _, y1) in ink_boxes(written)) >= 14  # px


def test_axes_have_a_legend_where_there_is_room(written):
    faces = [Face((0, 0, 9, 9), None, face(100, (200, 200)))]
    draw.draw_faces(gray(500, 500), faces, axes=True)
    assert [text for text, _ in ink_boxes(written)] == list(draw.AXES)
    assert all(x0 >= 0 and x1 <= 500 for _, (x0, _, x1, _) in ink_boxes(written))
    written.clear()
    draw.draw_faces(gray(500, 200), faces, axes=True)
    draw.draw_faces(gray(500, 500), [], axes=True)
    assert not written


# --- Numbers --------------------------------------------------------------------------------------------------


def assert_readable(boxes: list, size: tuple):
    """Each of the 68 numbers is there once, whole, and on no other."""
    assert sorted(text for text, _ in boxes) == sorted(map(str, range(68)))
    for i, (text, (x0, y0, x1, y1)) in enumerate(boxes):
        assert min(x0, y0) >= 0 and x1 <= size[0] and y1 <= size[1], text
        for other, (a0, b0, a1, b1) in boxes[:i]:
            assert x1 <= a0 or a1 <= x0 or y1 <= b0 or b1 <= y0, f"{text} lies on {other}"


def test_no_number_of_the_diagram_touches_another_or_a_point(written):
    side = 800
    picture = draw.draw_landmarks(side)
    boxes = ink_boxes(written)
    assert_readable(boxes, (side, side))
    # The points are what is neither white nor blended: no number may lie on one.
    solid = np.zeros((side, side), bool)
    for color in draw.COLORS.values():
        solid |= (picture == color).all(axis=2)
    assert cv2.connectedComponents(solid.astype(np.uint8))[0] - 1 >= 68
    for text, (x0, y0, x1, y1) in boxes:
        assert not solid[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1].any(), text


def closed_mouth():
    """The schematic face with its lips on each other: where the numbers have least room."""
    points = face(50.0)
    for upper, lower in ((61, 67), (62, 66), (63, 65)):
        points[lower] = points[upper]
    points[55:60, 1] -= points[66, 1] - points[62, 1] + 14
    return points


@pytest.mark.parametrize(
    ("side", "points"),
    [
        *((side, points) for side in (25, 250, 900) for points in (face(), closed_mouth())),
        *zip(itertools.cycle((25, 100, 250, 900)), open_split(SAMPLE, "test").keypoints[:12], strict=False),
    ],
)
def test_numbers_of_a_face_never_collide_and_are_all_there(points, side, written):
    factor = side / np.ptp(points, axis=0).max()
    points = ((points - points.min(axis=0)) * factor + 0.3 * side).astype(np.float32)
    shape = int(1.6 * side) + 2, int(1.6 * side) + 2
    drawn = draw.draw_faces(gray(*shape), [Face((0, 0, 9, 9), None, points)], numbers=True)
    assert_readable(ink_boxes(written), drawn.shape[1::-1])


def test_a_picture_is_enlarged_for_numbers_and_its_points_with_it():
    image, points = gray(100, 120), face(20, (60, 40))
    drawn = draw.draw_faces(image, [Face((20, 20, 100, 90), None, points)], boxes=True, numbers=True)
    factor = drawn.shape[0] / 100
    assert factor > 5 and drawn.shape[1] == pytest.approx(120 * factor, abs=1)
    for region, members in REGIONS.items():
        for x, y in np.round((points[list(members)] + 0.5) * factor - 0.5).astype(int):
            assert tuple(drawn[y, x]) == draw.COLORS[region], region
    assert drawn[round(50 * factor), round(20.5 * factor - 0.5)].min() > 220, "the box"
    large = Face((0, 0, 9, 9), None, face(520, (1000, 500)))
    assert draw.draw_faces(gray(1700, 2000), [large], numbers=True).shape == (1700, 2000, 3)
    assert draw.draw_faces(image, [], numbers=True).shape == image.shape


@pytest.mark.parametrize("height, width", [(500, 700), (3000, 4000), (5000, 4000)])
def test_no_picture_grows_beyond_16_megapixels_for_numbers(height, width):
    crowd = [Face((0, 0, 9, 9), None, face(8, (100 + 40 * i, 90))) for i in range(9)]
    drawn = draw.draw_faces(gray(height, width), crowd, numbers=True)
    assert height * width <= drawn.shape[0] * drawn.shape[1] <= max(16_010_000, height * width)


def test_a_scaled_face_lies_where_the_resized_image_shows_it():
    errors = np.arange(68, dtype=np.float32)
    whole = Face((-0.5, -0.5, 99.5, 59.5), 0.9, face(20, (50, 30)), errors, 0.8)
    half = whole.scaled(0.5)
    assert half.box == pytest.approx((-0.5, -0.5, 49.5, 29.5))  # edges stay on edges
    matrix = geometry.resize_matrix(60, 100, 30, 50)
    np.testing.assert_allclose(half.keypoints, geometry.transform_points(whole.keypoints, matrix), atol=1e-4)
    assert half.keypoints.dtype == half.errors.dtype == np.float32
    np.testing.assert_allclose(half.errors, errors / 2)
    assert (half.score, half.face_score) == (0.9, 0.8)
    assert Face((0, 0, 9, 9), None, face()).scaled(2).errors is None


def test_the_schematic_face_is_symmetric_and_upright():
    points = draw.schematic_face()
    mirrored = points[FLIP] * (-1, 1)
    assert np.allclose(mirrored, points)
    assert points[45, 0] - points[36, 0] == pytest.approx(1)
    assert points[8, 1] > points[57, 1] > points[66, 1] > points[62, 1] > points[51, 1] > points[33, 1]
    assert len(np.unique(points, axis=0)) == 68


# --- Sheets ---------------------------------------------------------------------------------------------------


def test_a_tile_is_cut_around_its_box_and_drawn_on_at_its_own_size():
    image, points = gray(1000, 1000), face(10, (300, 700))
    tile = draw.face_tile(image, points, box=geometry.box_of(points), margin=1.25, side=400)
    assert tile.shape == (400, 400, 3)
    rows, columns = np.nonzero((tile != 128).any(axis=2))
    assert (columns.min(), columns.max()) == pytest.approx((40, 360), abs=8)
    assert (rows.max() + rows.min()) / 2 == pytest.approx(199.5, abs=4)
    for color in draw.COLORS.values():
        assert (tile == color).all(axis=2).any(), "points, where the face has none at its size in the image"


@pytest.mark.parametrize("view", [np.s_[:, :], np.s_[::-1], np.s_[::2, ::2]])
def test_a_tile_without_a_box_is_the_whole_image(view):
    image = np.random.default_rng(0).integers(0, 256, (300, 600, 3), dtype=np.uint8)[view]
    points = np.full((68, 2), np.nan)
    points[30] = np.array(image.shape[1::-1]) / 2 - 0.5  # the middle
    tile = draw.face_tile(image, points, side=201)
    assert tile.shape[:2] == (round(201 * image.shape[0] / image.shape[1]), 201)


def test_points_in_one_place_are_as_large_as_the_true_face_asks_for():
    """What a network that has just begun predicts."""
    truth, collapsed = face(60), np.tile(np.float32([[100, 100]]), (68, 1))
    tile = draw.face_tile(gray(), collapsed, truth, geometry.box_of(truth), margin=1, side=550)  # a radius of 5 px
    dark = (tile.max(axis=2) < 30).astype(np.uint8)
    _, _, (_, rim, *_), _ = cv2.connectedComponentsWithStats(dark)
    assert rim[cv2.CC_STAT_WIDTH] == pytest.approx(2 * 1.4 * 5, abs=2)


def test_a_sheet_shows_each_image_whole_in_its_own_tile():
    red, wide = np.full((10, 10, 3), (255, 0, 0), np.uint8), np.full((50, 200, 3), (0, 0, 255), np.uint8)
    sheet = draw.contact_sheet([red, wide, red], columns=2, tile=64)
    gap = 2
    assert sheet.shape == (3 * gap + 2 * 64, 3 * gap + 2 * 64, 3)
    tiles = [sheet[y : y + 64, x : x + 64] for y in (gap, 2 * gap + 64) for x in (gap, 2 * gap + 64)]
    assert (tiles[0] == (255, 0, 0)).all() and (tiles[2] == (255, 0, 0)).all()
    assert (tiles[3] == 255).all()
    blue = (tiles[1] == (0, 0, 255)).all(axis=2)
    assert blue[24:40].all() and not blue[:24].any() and not blue[40:].any()


def test_a_caption_is_dark_ink_below_its_tile_only():
    plain = [gray(8, 8) + 80] * 2
    sheet = draw.contact_sheet(plain, tile=128, captions=["Zoë\r\n, 3.1%", "a very long \udce9name " * 9])
    ink = (sheet < 150).all(axis=2)
    assert not ink[: 4 + 128].any()
    assert ink[:, 4 : 4 + 128].sum() > 50
    assert not ink[:, 4 + 128 : 8 + 128].any()  # the long one stays under its own tile
    assert ink[:, 8 + 128 :].sum() > 50


@pytest.mark.parametrize("count, lines", [(1, 4), (4, 1)])
def test_a_title_stands_whole_above_the_tiles_however_narrow_the_sheet(count, lines, written):
    title = "Validation faces from best to worst: what was predicted, and the truth"
    red = np.full((8, 8, 3), (255, 0, 0), np.uint8)
    sheet = draw.contact_sheet([red] * count, tile=128, title=title)
    assert " ".join(text for text, _ in ink_boxes(written)) == title
    assert len(written) <= lines
    tiles_begin = np.nonzero((sheet == (255, 0, 0)).all(axis=2).any(axis=1))[0][0]
    for _, (x0, y0, x1, y1) in ink_boxes(written):
        assert min(x0, y0) >= 0 and x1 <= sheet.shape[1] and y1 < tiles_begin


@pytest.mark.parametrize("text", ["68 keypoints", "a very long name " * 9])
def test_a_label_is_white_on_a_dark_band_at_the_lower_edge(text, written):
    labelled = draw.label(gray(100, 200), text, band=20)
    assert (labelled[:80] == 128).all()
    assert (labelled[80:] == 32).all(axis=2).any() and (labelled[80:] == 255).all(axis=2).any()
    ((_, (x0, y0, x1, y1)),) = ink_boxes(written)
    assert x0 >= 0 and y0 >= 80 and x1 <= 200 and y1 <= 100


def test_labels_stand_left_of_their_rows(written):
    red = np.full((8, 8, 3), (255, 0, 0), np.uint8)
    sheet = draw.contact_sheet([red] * 3, columns=2, tile=128, labels=["epoch 1\nNME 9.9%", "last"])
    rows, columns = np.nonzero((sheet == (255, 0, 0)).all(axis=2))
    boxes = dict(ink_boxes(written))
    assert list(boxes) == ["epoch 1", "NME 9.9%", "last"]
    for text, (x0, y0, x1, y1) in boxes.items():
        assert x0 >= 0 and x1 < columns.min(), text
        assert (y0 > rows.min() + 128) == (text == "last") and y1 <= rows.max(), text
    assert boxes["epoch 1"][3] <= boxes["NME 9.9%"][1]


def test_text_needs_no_matplotlib(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    sheet = draw.contact_sheet([gray(8, 8) + 80] * 2, tile=128, captions=["Ann, 3.1%", "a very long name " * 9])
    ink = (sheet < 150).all(axis=2)
    assert ink[:, : 4 + 128].any() and ink[:, 8 + 128 :].any()
    assert (draw.draw_landmarks(800) == draw.INK).all(axis=2).any()


def test_a_sheet_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        draw.contact_sheet([])
    with pytest.raises(ValueError, match="2 images but 1 captions"):
        draw.contact_sheet([gray(), gray()], captions=["one"])
    with pytest.raises(ValueError, match="2 rows but 3 labels"):
        draw.contact_sheet([gray(), gray(), gray()], columns=2, labels=["a", "b", "c"])


def test_sheets_are_stacked_at_the_left_on_white():
    low, narrow = np.zeros((2, 5, 3), np.uint8), np.full((3, 2, 3), 7, np.uint8)
    stacked = draw.stack_sheets([low, narrow])
    assert stacked.shape == (5, 5, 3)
    assert (stacked[:2] == 0).all() and (stacked[2:, :2] == 7).all() and (stacked[2:, 2:] == 255).all()
