"""Drawings put the right colour on the right pixel, whatever they are given; plots show the numbers they got."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFont

import visualize
from face68 import draw
from face68.files import InputError
from face68.landmarks import FLIP, REGIONS, Face

ROOT = Path(visualize.__file__).parent


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
    assert (drawn[:45] == 128).all() and (drawn[:, 66:] == 128).all()
    assert (draw.draw_keypoints(gray(), points, None, radius=5) == 128).all()


def test_the_error_is_a_line_from_the_truth_to_the_point():
    points, truth = np.full((2, 68, 2), np.nan)
    truth[0], points[0] = (50, 60), (150, 60)
    drawn = draw.draw_keypoints(gray(), points, truth, radius=3)
    assert (drawn[60, 60:140].min(axis=1) > 240).all()


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.lists(st.floats(width=32), min_size=136, max_size=136),
    st.booleans(),
)
def test_any_points_on_any_image(height, width, numbers, labelled):
    points = np.reshape(numbers, (68, 2)).astype(np.float32)
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


@pytest.mark.parametrize("center", [(100, 70), (3, 5), (197, 190), (-20, 70), (1e4, 1e4), (-1e6, 50)])
def test_drawing_a_part_is_drawing_the_whole(center):
    """Only the face's part of a large photo is worked on; nobody may see that."""
    points = face(40.0, center)
    drawn = draw.draw_faces(gray(), [Face((0, 0, 9, 9), None, points)], numbers=True)
    np.testing.assert_allclose(drawn, draw.draw_keypoints(gray(), points, numbers=True), atol=2)


def test_confidence_is_a_ring_of_the_expected_error():
    points = np.tile(np.float32([[150, 150]]), (68, 1)) + face(2.0, (0, 0))  # all near to one place
    drawn = draw.draw_faces(gray(300, 300), [Face((0, 0, 9, 9), None, points, np.full(68, 20.0))], confidence=True)
    x, y = points[8]
    assert drawn[round(float(y)) + 20, round(float(x))].min() > 200
    known = Face((0, 0, 9, 9), 0.5, points, None, 0.25)
    above = draw.draw_faces(gray(300, 300), [known], confidence=True)[120:145]
    assert (above != 128).any(), "the score stands above the face"


def test_no_number_of_the_diagram_touches_another_or_a_point():
    """Each number is drawn alone, its box of ink compared with all others."""
    side = 800
    names = [str(i) for i in range(68)]
    boxes, written = [], []

    class Pen:
        def text(self, place, text, fill, font, anchor, stroke_width, stroke_fill):
            assert isinstance(font, ImageFont.FreeTypeFont)
            x0, y0, x1, y1 = font.getbbox(text, anchor=anchor)
            boxes.append((place[0] + x0, place[1] + y0, place[0] + x1, place[1] + y1))
            written.append(text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draw.ImageDraw, "Draw", lambda canvas: Pen())
        picture = draw.draw_landmarks(side)
    assert sorted(written, key=int) == names
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        assert min(x0, y0) > 0 and max(x1, y1) < side
        for a0, b0, a1, b1 in boxes[:i]:
            assert x1 < a0 or a1 < x0 or y1 < b0 or b1 < y0, (written[i], "overlaps")
    # The points are what is neither white nor blended: no number may lie on one.
    solid = np.zeros((side, side), bool)
    for color in draw.COLORS.values():
        solid |= (picture == color).all(axis=2)
    assert cv2.connectedComponents(solid.astype(np.uint8))[0] - 1 >= 68
    for (x0, y0, x1, y1), text in zip(boxes, written, strict=True):
        assert not solid[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1].any(), text


def test_the_schematic_face_is_symmetric_and_upright():
    points = draw.schematic_face()
    mirrored = points[FLIP] * (-1, 1)
    assert np.allclose(mirrored, points)
    assert points[45, 0] - points[36, 0] == pytest.approx(1)
    assert points[8, 1] > points[57, 1] > points[66, 1] > points[62, 1] > points[51, 1] > points[33, 1]
    assert len(np.unique(points, axis=0)) == 68


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
    sheet = draw.contact_sheet(plain, tile=128, captions=["Zoë, 3.1%", "a very long name " * 9])
    ink = (sheet < 150).all(axis=2)
    assert not ink[: 4 + 128].any()
    assert ink[:, 4 : 4 + 128].sum() > 50
    assert not ink[:, 4 + 128 : 8 + 128].any()  # the long one stays under its own tile
    assert ink[:, 8 + 128 :].sum() > 50


def test_a_sheet_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        draw.contact_sheet([])
    with pytest.raises(ValueError, match="2 images but 1 captions"):
        draw.contact_sheet([gray(), gray()], captions=["one"])


def test_training_curves_mark_the_best_epoch():
    history = {
        "epoch": [1, 2, 3, 4],
        "train_loss": [1.0, 0.1, 0.01, 0.001],
        "val_loss": [2.0, 0.2, 0.1, 0.3],
        "val_nme": [0.5, float("nan"), 0.0412, 0.06],
    }
    left, right = visualize.plot_training_curves(history).axes
    assert left.get_yscale() == "log"
    assert [list(line.get_ydata()) for line in left.lines] == [history["train_loss"], history["val_loss"]]
    curve, best = right.lines
    assert curve.get_ydata()[3] == pytest.approx(6)
    assert (best.get_xdata()[0], best.get_ydata()[0]) == (3, pytest.approx(4.12))
    assert right.get_legend().get_texts()[0].get_text() == "best: 4.12% in epoch 3"


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 30, 1000])
def test_epochs_are_whole_numbers_and_losses_plain_ones(epochs):
    history = {name: np.linspace(0.9, 0.11, epochs).tolist() for name in ("train_loss", "val_loss", "val_nme")}
    figure = visualize.plot_training_curves(history | {"epoch": list(range(1, epochs + 1))})
    figure.canvas.draw()
    for axes in figure.axes:
        (low, high), ticks = axes.get_xlim(), axes.get_xticks()
        assert ((low <= ticks) & (ticks <= high)).any()
        assert (ticks == np.round(ticks)).all()
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len([float(label) for label in labels]) > 1


@pytest.mark.parametrize("epochs", [0, 1])
def test_training_curves_of_a_run_that_just_began(epochs, tmp_path):
    history = {name: [1.0] * epochs for name in ("epoch", "train_loss", "val_loss", "val_nme")}
    visualize.save_figure(visualize.plot_training_curves(history), tmp_path / "curves.png")
    assert cv2.imread(str(tmp_path / "curves.png")).std() > 0


def test_ced_says_nme_and_auc_and_draws_the_shares():
    figure = visualize.plot_ced({"ours": np.array([0.02, 0.04, 0.06, 0.1])})
    (axes,) = figure.axes
    assert axes.get_legend().get_texts()[0].get_text() == "ours: NME 5.50%, AUC@8% 0.375"
    x, y = axes.lines[0].get_data()
    assert np.interp([1, 5, 8], x, y) == pytest.approx([0, 50, 75])


def test_a_figure_is_written_whole_or_refused(tmp_path):
    figure = visualize.plot_ced({"a": np.array([0.03])})
    visualize.save_figure(figure, tmp_path / "new" / "ced.svg")
    assert "</svg>" in (tmp_path / "new" / "ced.svg").read_text()
    with pytest.raises(InputError, match=r"ced\.xyz.*\.png"):
        visualize.save_figure(figure, tmp_path / "ced.xyz")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_drawing_alone_loads_neither_matplotlib_nor_torch():
    code = "import sys, visualize; print([m for m in ('matplotlib', 'torch', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def dataset(tmp_path):
    """Two faces on gray, in the public layout."""
    (tmp_path / "training").mkdir()
    rows = [",".join(["name", *map(str, range(136))])]
    for name in ("Ann_A_00.png", "Bob_B_00.png"):
        cv2.imwrite(str(tmp_path / "training" / name), gray())
        rows.append(",".join([name, *map(str, face().ravel())]))
    (tmp_path / "training_frames_keypoints.csv").write_text("\n".join(rows))
    return tmp_path


@pytest.mark.parametrize("command", ["samples", "transforms", "landmarks"])
def test_commands_write_their_picture_and_the_seed_decides(command, dataset, tmp_path, monkeypatch, capsys):
    pictures = []
    for number in range(2):
        output = tmp_path / f"{number}.png"
        data = [] if command == "landmarks" else ["--data", str(dataset), "--seed", "3"]
        monkeypatch.setattr(sys, "argv", ["visualize.py", command, *data, "--output", str(output)])
        visualize.main()
        assert capsys.readouterr().out.strip() == str(output)
        pictures.append(cv2.imread(str(output)))
    assert (pictures[0] == pictures[1]).all()
    for color in draw.COLORS.values():
        assert (np.abs(pictures[0].astype(int) - color[::-1]).max(axis=2) < 3).any()


def test_data_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["visualize.py", "samples", "--data", str(tmp_path)])
    with pytest.raises(InputError, match="training_frames_keypoints"):
        visualize.main()
