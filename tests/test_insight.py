"""What networks see: the maps are those that layers make, and what moves the points is what is found to."""

import sys

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import DETECTOR, PRETRAINED, REPOSITORY, SHIPPED
from torch import nn

import models
import visualize
from face68.draw import region_colors
from face68.files import InputError
from face68.geometry import CropPolicy
from face68.inputs import demonstration_photo
from face68.landmarker import Landmarker
from face68.landmarks import FLIP, IBUG68, REGIONS, inter_ocular
from face68.network import Predictions
from plots import networks
from training import inspection
from training.checkpoint import TorchNetwork, save_checkpoint

CROP = np.random.default_rng(0).integers(0, 256, (96, 96), dtype=np.uint8)


class Small(nn.Module):
    """A network such as the README's, whose last ReLU works in place."""

    input_size = 96

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(models.conv(1, 4, stride=2), nn.ReLU(), nn.Conv2d(4, 6, 3, 4), nn.ReLU(True))
        self.points = nn.LazyLinear(136)

    def forward(self, images):
        return self.points(self.features(images).flatten(1))


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A checkpoint of a network of one's own."""
    monkeypatch.setitem(models.MODELS, "small", Small)
    torch.manual_seed(0)
    model = Small()
    model(torch.zeros(1, 1, 96, 96))
    monkeypatch.setitem(models.MODELS, "small", lambda: model)
    policy = {"size": 96, "margin": 1.2}
    path = tmp_path / "small.pt"
    told = {"epoch": 1, "metrics": {}, "arguments": {}, "versions": {}}
    save_checkpoint(path, told | {"model": "small", "options": {}, "weights": model.state_dict(), "policy": policy})
    return path


@pytest.fixture(scope="module")
def shipped():
    return TorchNetwork(PRETRAINED)


@pytest.fixture
def look(tmp_path, monkeypatch, capsys):
    """Run `visualize.py COMMAND …` in this process; returns the picture that it wrote, (H, W, 3)."""

    def run(command: str, *options) -> np.ndarray:
        monkeypatch.setattr(inspection, "STEPS", 3)  # fewer places to hide, and coarser pictures: both take time
        monkeypatch.setattr(networks, "DPI", 40)
        line = ["visualize.py", command, "--output", tmp_path / "seen.png", *options]
        monkeypatch.setattr(sys, "argv", list(map(str, line)))
        visualize.main()
        assert capsys.readouterr().out.strip() == str(tmp_path / "seen.png")
        return cv2.imread(str(tmp_path / "seen.png"))

    return run


# --- Layers ---------------------------------------------------------------------------------------------------


def test_maps_are_those_that_the_layers_make(small):
    network = inspection.open_network(small)
    maps = inspection.layer_maps(network, CROP)
    assert [name for name in maps if name.startswith("features.0")] == ["features.0.0", "features.0.1", "features.0"]
    features, images = network.model.model.features, inspection.as_batch(CROP)
    with torch.inference_mode():
        first = features[0](images)
        assert maps["features.0"] == pytest.approx(first[0].numpy())
        assert maps["features.2"] == pytest.approx(features[2](first.relu())[0].numpy())  # as it was before the ReLU
    assert maps["features.2"].min() < 0 == maps["features.3"].min()
    assert "points" not in maps  # numbers, not maps
    assert not any(module._forward_hooks for module in network.model.modules())


def test_the_layer_is_the_last_that_has_a_quarter_of_the_width_or_the_named_one(small):
    maps = inspection.layer_maps(inspection.open_network(small), CROP)
    assert {name: values.shape for name, values in maps.items()}["features.1"] == (4, 48, 48)
    assert inspection.choose_layer(maps, CROP) == "features.1"  # the next has 12 of 96
    assert inspection.choose_layer(maps, CROP, "features.0.1") == "features.0.1"
    with pytest.raises(InputError, match=r"--layer points: .* features\.0, features\.1, features\.2, features\.3, "):
        inspection.choose_layer(maps, CROP, "points")


def test_filters_are_the_weights_that_work_first_and_what_they_find(small):
    network = inspection.open_network(small)
    layer, weights, responses = inspection.first_filters(network, CROP)
    assert layer == "features.0.0" and weights.shape == (4, 1, 3, 3)
    expected = F.conv2d(inspection.as_batch(CROP), torch.from_numpy(weights), stride=2, padding=1)[0].numpy()
    assert responses == pytest.approx(expected, abs=1e-5)


# --- Heat maps ------------------------------------------------------------------------------------------------


def test_the_mean_of_a_heat_map_is_its_point(shipped, hopper):
    crop = inspection.shown_to(shipped, hopper, "hopper", "auto")
    heat = inspection.heat_maps(shipped, crop)
    assert heat.shape == (68, 32, 32) and heat.sum(axis=(1, 2)) == pytest.approx(np.ones(68), abs=1e-4)
    centres = 4 * np.arange(32) + 1.5  # px of the crop: a cell covers 4
    x, y = heat.sum(axis=1) @ centres, heat.sum(axis=2) @ centres
    before = shipped(crop[None]).keypoints[0]
    assert np.column_stack([x, y]) == pytest.approx(before, abs=0.01)
    assert not any(module.training for module in shipped.model.modules())


def test_a_network_without_heat_maps_says_so(small):
    with pytest.raises(InputError, match=r"small\.pt: a small network has no heat maps"):
        inspection.needed_heat_maps(inspection.open_network(small), CROP)


# --- Occlusion ------------------------------------------------------------------------------------------------


class SeesOneCorner:
    """Moves its mouth to the right by a pixel a gray level that the mean of a corner, 7×7 px, lies below 200."""

    policy = CropPolicy(56)

    def __call__(self, crops: np.ndarray) -> Predictions:
        points = np.zeros((len(crops), 68, 2), np.float32)
        points[:, 36, 0], points[:, 45, 0] = 10, 30  # the eye distance: 20 px
        darker = 200 - crops[:, :7, :7].mean(axis=(1, 2))
        points[:, list(REGIONS["mouth"]), 0] = darker[:, None]
        return Predictions(points, None, None)


def test_what_moves_the_points_is_the_part_that_the_network_looks_at():
    crop = np.full((56, 56), 100, np.uint8)
    crop[:7, :7] = 200
    occlusion = inspection.occlude(SeesOneCorner(), crop)
    fill = round(crop.mean())
    assert occlusion.side == 14 and occlusion.moved.shape == (28, 28, 68, 2)
    shifts = occlusion.shifts(list(REGIONS["mouth"]))
    # The square is 2 px further with each step. At 3, centred at 6.5 px, it covers 0 … 13.
    assert occlusion.centers[3] == 6.5 and shifts[3, 3] == pytest.approx((200 - fill) / 20)
    assert shifts[0, 0] == pytest.approx((200 - fill) / 20)  # 0 … 7, what is left of it
    assert shifts[3, 5] == pytest.approx((200 - fill) / 20 * 3 / 7)  # 4 … 17: three of seven columns
    assert (shifts[:, 7:] == 0).all() and (shifts[7:] == 0).all() and (shifts[:7, :7] > 0).all()
    assert (occlusion.shifts(list(REGIONS["eyes"])) == 0).all()
    hidden = occlusion.hide(crop, 3, 5)
    assert (hidden[:14, 4:18] == fill).all() and (hidden[:, 18:] == 100).all() and (hidden[:7, :4] == 200).all()


# --- The way of a photo ---------------------------------------------------------------------------------------


def test_the_way_ends_where_prediction_does_and_its_looks_are_what_was_seen(shipped, hopper):
    way = inspection.follow(shipped, hopper, "hopper", "auto")
    (face,) = Landmarker(shipped)(hopper)
    assert way.face.keypoints == pytest.approx(face.keypoints, abs=0.05)  # px; there beside other places, in one batch
    assert way.points[1:].mean(axis=0) == pytest.approx(way.face.keypoints, abs=1e-3)
    assert way.found.boxes[0] == pytest.approx(np.array(face.box))
    assert way.keypoints == pytest.approx(shipped(way.crops).keypoints, abs=1e-3)
    mirrored = way.keypoints[2, FLIP] * (-1, 1) + (len(way.crops[2]) - 1, 0)
    off = np.linalg.norm(mirrored - way.keypoints[1], axis=1).mean() / inter_ocular(way.keypoints[1])
    assert off < 0.05 < np.linalg.norm(way.keypoints[2] - way.keypoints[1], axis=1).mean() / 20  # it was mirrored
    assert cv2.cvtColor(way.colour, cv2.COLOR_RGB2GRAY).tolist() == way.crops[0].tolist()
    assert way.searched == (192, 164)  # of 600 × 512


def test_without_a_face_there_is_nothing_to_see(shipped):
    with pytest.raises(InputError, match=r"wall\.jpg: no face was found"):
        inspection.shown_to(shipped, np.full((200, 200, 3), 90, np.uint8), "wall.jpg", "auto")


# --- Figures --------------------------------------------------------------------------------------------------


def drawn(axes) -> list[np.ndarray]:
    return [np.asarray(image.get_array()) for image in axes.images]


def test_filters_are_drawn_as_sharp_cells_on_one_scale():
    weights, responses = np.zeros((2, 1, 3, 3)), np.zeros((2, 4, 4))
    weights[0, 0, 1, 2], weights[1], responses[1, 2, 2] = 2.0, -1.0, -8.0
    figure = networks.plot_filters(inspection.Filters("stem", weights, responses), "mine")
    above, other, below, found, *bars = figure.axes
    assert drawn(above)[0].tolist() == weights[0, 0].tolist() and drawn(other)[0].tolist() == weights[1, 0].tolist()
    assert above.images[0].get_interpolation() == "nearest"
    assert above.images[0].get_clim() == other.images[0].get_clim() == (-2, 2)
    assert drawn(below)[0].max() == 0 and drawn(found)[0].min() == -1
    assert len(bars) == 2 and "2 filters of 3 × 3" in figure.get_suptitle()


def test_features_are_numbered_by_map_and_those_of_contrast_come_first():
    maps = np.zeros((40, 4, 4))
    maps[7, :2], maps[5, 0, 0] = 3, 9
    figure = networks.plot_features("stages.1", maps, CROP, "mine")
    first, second, third, *_ = figure.axes
    assert first.get_title() == "the picture" and drawn(first)[0].tolist() == CROP.tolist()
    assert second.get_title() == "7: 3" and drawn(second)[0].tolist() == (maps[7] / 3).tolist()
    assert third.get_title() == "5: 9"
    assert "31 of 40 maps of 4 × 4 cells" in figure.get_suptitle()


def test_heat_maps_are_where_they_are_in_the_colours_of_their_regions():
    heat = np.full((68, 24, 24), 1e-6, np.float32)
    heat[8, 20, 6] = heat[30, 3, 12] = 0.5
    outputs = Predictions(np.full((1, 68, 2), 25.5, np.float32), np.full((1, 68), 1.5, np.float32), None)
    figure = networks.plot_heat_maps(np.zeros((96, 96), np.uint8), heat, outputs, [8, 30], "mine")
    _, chin, nose = figure.axes
    assert chin.get_title() == "8, jaw: peak 50%, ± 1.5 px"
    for axes, (row, column), region in ((chin, (20, 6), "jaw"), (nose, (3, 12), "nose")):
        picture = drawn(axes)[0].astype(int)
        place = [int((cell + 0.5) / 24 * len(picture)) for cell in (row, column)]
        assert np.abs(picture[tuple(place)] - region_colors(IBUG68)[region]).max() < 30
        assert picture[len(picture) // 2, -1].max() < 5
        assert axes.lines[0].get_xydata().tolist() == [[25.5, 25.5]] and axes.patches[0].radius == 1.5
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(REGIONS)


def test_occlusion_says_in_percent_where_the_points_are_moved_most():
    crop = np.full((56, 56), 100, np.uint8)
    crop[:7, :7] = 200
    occlusion = inspection.occlude(SeesOneCorner(), crop)
    figure = networks.plot_occlusion(crop, occlusion, list(REGIONS["mouth"]), "mine")
    before, where, worst, bar = figure.axes
    percent = 100 * occlusion.shifts(list(REGIONS["mouth"]))
    assert drawn(where)[1] == pytest.approx(percent) and where.images[1].get_clim() == (0, pytest.approx(percent.max()))
    assert where.images[1].get_extent() == [-0.5, 55.5, 55.5, -0.5]
    assert f"{percent.max():.1f}%" in worst.get_title() and "% of the eye distance" in bar.get_xlabel()
    assert "the points of the mouth" in figure.get_suptitle()
    assert not np.array_equal(drawn(before)[0], drawn(worst)[0])


@pytest.mark.parametrize(
    ("text", "points"),
    [("8", [8]), ("30-32,8", [30, 31, 32, 8]), ("nose", list(REGIONS["nose"])), ("48,mouth", list(REGIONS["mouth"]))],
)
def test_points_are_named_by_numbers_ranges_and_regions(text, points):
    assert visualize.points_of(text) == points


@pytest.mark.parametrize("text", ["", "68", "8-", "9-8", "-3", "ears", "8,,9"])
def test_other_points_are_refused(text):
    with pytest.raises(Exception, match="is not 0 to 67"):
        visualize.points_of(text)


# --- Commands -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", visualize.SEEING)
def test_commands_draw_the_photograph_by_default(command, look):
    picture = look(command, "--checkpoint", PRETRAINED)
    assert picture.shape[1] == 400 and picture.std() > 20
    assert (picture[-10:] < 255).any()  # nothing is empty at its foot


@pytest.mark.parametrize(
    "command", [command for command in visualize.SEEING if command not in ("heatmaps", "annotators")]
)
def test_a_network_of_ones_own_is_looked_into_too(command, look, small):
    assert look(command, "--checkpoint", small, "--image", demonstration_photo()).std() > 20


@pytest.mark.parametrize(("command", "options"), [("filters", []), ("features", ["--layer", "head"])])
def test_a_detector_is_looked_into_too(command, options, look):
    assert look(command, "--checkpoint", DETECTOR, *options).std() > 20


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["photo", "--checkpoint", DETECTOR], r"detector\.pt: places no keypoints"),
        (["filters", "--checkpoint", SHIPPED], r"pretrained\.onnx: .*give the \.pt"),
        (["features", "--checkpoint", PRETRAINED, "--layer", "mind"], r"--layer mind: .*stages\.0, stages\.1"),
        (
            ["heatmaps", "--checkpoint", PRETRAINED, "--image", REPOSITORY / "docs" / "speed.png"],
            r"speed\.png: no face",
        ),
    ],
)
def test_what_cannot_be_seen_is_one_line(arguments, line, look):
    with pytest.raises(InputError, match=line) as refusal:
        look(*arguments)
    assert "\n" not in str(refusal.value)


def test_a_name_that_models_py_no_longer_has_is_one_line(small, monkeypatch):
    monkeypatch.delitem(models.MODELS, "small")
    with pytest.raises(InputError, match=r"small\.pt: does not fit this version of models\.py"):
        inspection.open_network(small)
