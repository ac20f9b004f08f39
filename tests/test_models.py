import math

import pytest
import torch
from conftest import SAMPLE
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms import Compose

from data_load import FacialKeypointsDataset, Normalize, RandomCrop, Rescale, ToTensor
from face68.files import InputError
from models import (
    MODELS,
    DetectorOutputs,
    Outputs,
    PixelDetector,
    PixelOutputs,
    as_outputs,
    create_model,
    finds_faces,
    position_and_width,
    position_and_width_of_cells,
    predicts_errors,
    spatial_softmax,
)

OF_KEYPOINTS = [name for name in MODELS if not finds_faces(name)]


@pytest.mark.parametrize("name", OF_KEYPOINTS)
def test_output_shapes_and_gradients(name):
    model = create_model(name)
    outputs = as_outputs(model(torch.rand(2, 1, model.input_size, model.input_size)))
    assert outputs.keypoints.shape == (2, 68, 2)
    if predicts_errors(name):
        assert outputs.log_errors.shape == (2, 68) and outputs.face_logits.shape == (2,)
        assert outputs.heatmaps.shape == (2, 68, model.input_size // 4, model.input_size // 4)
    sum(output.sum() for output in outputs if output is not None).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    assert as_outputs(model.eval()(torch.rand(1, 1, model.input_size, model.input_size))).heatmaps is None


def test_the_courses_own_loop_trains_the_classic_network():
    """As its notebooks have it: the data set by the names of its arguments, its transforms, `criterion(net(x), y)`."""
    chain = Compose([Rescale(250), RandomCrop(224), Normalize(), ToTensor()])
    data = FacialKeypointsDataset(
        csv_file=SAMPLE / "training_frames_keypoints.csv", root_dir=SAMPLE / "training", transform=chain
    )
    image_name, key_pts = data.key_pts_frame.iloc[3, 0], data.key_pts_frame.iloc[3, 1:].to_numpy(float)
    assert image_name == data.names[3] and len(data.key_pts_frame) == len(data)
    assert (key_pts.reshape(-1, 2) == data.keypoints[3]).all()
    net, criterion = MODELS["net"](), torch.nn.SmoothL1Loss()
    samples = next(iter(DataLoader(data, batch_size=4)))
    images, key_pts = samples["image"].float(), samples["keypoints"]
    key_pts = key_pts.view(key_pts.size(0), -1)
    output_pts = net(images)
    assert output_pts.shape == key_pts.shape == (4, 136)
    criterion(output_pts, key_pts).backward()
    assert net.features[0].weight.grad.any()


@pytest.mark.parametrize("name", OF_KEYPOINTS)
def test_a_face_does_not_depend_on_its_batch(name):
    torch.manual_seed(0)
    model = create_model(name).eval()
    images = torch.rand(3, 1, model.input_size, model.input_size)
    for together, alone in zip(as_outputs(model(images)), as_outputs(model(images[1:2])), strict=True):
        if together is not None:
            torch.testing.assert_close(together[1:2], alone, atol=1e-4, rtol=1e-4)


def test_an_unknown_name_is_a_key_error():
    with pytest.raises(KeyError):
        create_model("resnet")


def test_position_and_width_by_hand():
    # Half the mass in column 2 and half in column 3 of 8, all of it in row 1 of 4.
    maps = torch.full((1, 1, 4, 8), -1e9)
    maps[0, 0, 1, 2:4] = 5.0
    position, width = position_and_width(spatial_softmax(maps))
    torch.testing.assert_close(position, torch.tensor([[[2 * 3.0 / 8 - 1, 2 * 1.5 / 4 - 1]]]))  # the cells' common edge
    torch.testing.assert_close(width, torch.tensor([[1 / 8]]))  # half a cell to either side
    maps[0, 0, 1, 3] = -1e9
    assert position_and_width(spatial_softmax(maps))[1].item() == pytest.approx(1e-3), "never 0: its logarithm is taken"


def test_the_judging_heads_do_not_shape_the_features():
    model = create_model("heatmap")
    outputs = model(torch.rand(2, 1, 112, 112))
    (outputs.log_errors.sum() + outputs.face_logits.sum()).backward()
    shaped = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert shaped == {"exponent", "log_factor", "face"}


def test_calibration_corrects_the_log_errors():
    model = create_model("heatmap").eval()
    images = torch.rand(2, 1, 112, 112)
    before = model(images).log_errors
    model.calibration.copy_(torch.tensor([0.5, 2.0]))
    torch.testing.assert_close(model(images).log_errors, 0.5 + 2 * before)


@pytest.mark.parametrize(
    ("name", "millions"),
    [("fast", (26.1, 0.31)), ("base", (101, 0.95)), ("large", (400.2, 2.34)), ("heatmap", (99, 1.2))],
)
def test_the_networks_cost_what_they_say(name, millions):
    model = create_model(name).eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 1, model.input_size, model.input_size))
    costs = counter.get_total_flops() / 2, sum(p.numel() for p in model.parameters())  # multiply-adds, parameters
    for cost, most in zip(costs, millions, strict=True):
        assert 0.95 * most < cost / 1e6 < most


@pytest.mark.parametrize("shape", [(3, 136), (3, 68, 2), (3, 68, 2, 1)])
def test_a_plain_tensor_is_keypoints(shape):
    said = torch.arange(3 * 136.0).reshape(shape)
    outputs = as_outputs(said)
    assert torch.equal(outputs.keypoints, said.reshape(3, 68, 2)) and outputs[1:] == (None,) * 4


@pytest.mark.parametrize("said", [torch.zeros(3, 10), {"keypoints": torch.zeros(3, 136)}, torch.zeros(())])
def test_what_is_no_keypoints_is_named(said):
    with pytest.raises(InputError, match="the network returns"):
        as_outputs(said)


def test_pixels_of_the_crop_by_hand():
    """-1 and 1 are the edges, at -0.5 and 7.5 of eight pixels; an error of 1 is half a side."""

    class Says(torch.nn.Module):
        def forward(self, images):
            assert images.dtype == torch.float32 and images.max() == 1
            keypoints = torch.zeros(1, 68, 2)
            keypoints[0, :2] = torch.tensor([[-1.0, 1.0], [0.0, 0.125]])
            return Outputs(keypoints, torch.full((1, 68), 0.5).log(), torch.zeros(1))

    network = PixelOutputs(Says(), 8)
    keypoints, errors, scores = network(torch.full((1, 1, 8, 8), 255, dtype=torch.uint8))
    assert keypoints[0, :2].tolist() == [[-0.5, 7.5], [3.5, 4.0]]
    torch.testing.assert_close(errors, torch.full((1, 68), 2.0))
    assert scores.tolist() == [0.5]


def test_cells_give_what_their_maps_give():
    torch.manual_seed(0)
    cells = 4 * torch.randn(2, 4 * 5, 6, 9)
    expected = position_and_width(spatial_softmax(torch.nn.functional.pixel_shuffle(cells, 2)))
    for value, of_maps in zip(position_and_width_of_cells(cells), expected, strict=True):
        torch.testing.assert_close(value, of_maps, atol=1e-5, rtol=1e-4)


def test_a_detector_tells_of_each_cell_in_any_picture():
    torch.manual_seed(0)
    model = create_model("detector")
    maps = model(torch.rand(2, 3, 64, 96))
    assert maps.score_logits.shape == maps.log_sides.shape == (2, 8, 12)
    assert maps.centers.shape == maps.axes.shape == (2, 2, 8, 12)
    assert maps.score_logits.sigmoid().mean() < 0.1, "at first it finds nothing anywhere"
    sum(values.sum() for values in maps).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    model.eval().calibration.copy_(torch.tensor([0.5, 2.0]))
    images = torch.rand(1, 3, 64, 64)
    calibrated = model(images).score_logits
    model.calibration.copy_(torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(calibrated, 0.5 + 2 * model(images).score_logits)


def test_the_detector_is_small():
    model = create_model("detector").eval()
    assert sum(p.numel() for p in model.parameters()) < 264_143
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, 192, 192))
    assert counter.get_total_flops() / 2 < 62_000_000, "multiply-adds"


def test_a_detectors_faces_in_pixels_by_hand():
    """In the second cell of the first row, a face whose centre is half a cell right and down of the cell's; 2 cells
    large, on its head.
    """

    class Says(torch.nn.Module):
        def forward(self, images):
            assert images.dtype == torch.float32 and images.max() == 1
            zero = torch.zeros(1, 1, 3)
            centers, axes = torch.zeros(1, 2, 1, 3), torch.zeros(1, 2, 1, 3)
            centers[0, :, 0, 1], axes[0, 0, 0, 1] = 0.5, -1
            return DetectorOutputs(zero, centers, zero + math.log(2), axes)

    scores, faces = PixelDetector(Says())(torch.full((1, 3, 8, 24), 255, dtype=torch.uint8))
    assert scores.tolist() == [[[0.5, 0.5, 0.5]]]
    torch.testing.assert_close(faces[0, :, 0, 1], torch.tensor([15.5, 7.5, 16.0, -1.0, 0.0]))
