import pytest
import torch

from models import MODELS, create_model, mean_position, spatial_softmax, split_outputs

WIDTHS = {"net": 136, "heatmap": 205}


@pytest.mark.parametrize("name", MODELS)
def test_output_shape_and_gradients(name):
    model = create_model(name)
    size = model.input_size
    outputs = model(torch.rand(2, 1, size, size))
    assert outputs.shape == (2, WIDTHS[name])
    outputs.sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_a_face_does_not_depend_on_its_batch(name):
    torch.manual_seed(0)
    model = create_model(name).eval()
    images = torch.rand(3, 1, model.input_size, model.input_size)
    torch.testing.assert_close(model(images)[1:2], model(images[1:2]), atol=1e-4, rtol=1e-4)


def test_an_unknown_name_is_a_key_error():
    with pytest.raises(KeyError):
        create_model("resnet")


def test_the_mean_position_of_a_softmax_finds_a_peak_between_cells():
    # Half the mass in column 2 and half in column 3 of 8, all of it in row 1 of 4.
    maps = torch.full((1, 1, 4, 8), -1e9)
    maps[0, 0, 1, 2:4] = 5.0
    expected = torch.tensor([[[2 * 3.0 / 8 - 1, 2 * 1.5 / 4 - 1]]])  # the cells' common edge, the row's middle
    torch.testing.assert_close(mean_position(spatial_softmax(maps)), expected)


def test_split_outputs():
    outputs = split_outputs(torch.arange(2 * 136.0).reshape(2, 136))
    assert outputs.keypoints[1, 0].tolist() == [136, 137]
    assert outputs.log_errors is None and outputs.face_logits is None
    outputs = split_outputs(torch.arange(2 * 205.0).reshape(2, 205))
    assert outputs.keypoints[1, 67].tolist() == [205 + 134, 205 + 135]
    assert outputs.log_errors[1].tolist() == list(range(205 + 136, 205 + 204))
    assert outputs.face_logits.tolist() == [204, 409]


def test_the_judging_heads_do_not_shape_the_features():
    model = create_model("heatmap")
    outputs = split_outputs(model(torch.rand(2, 1, 112, 112)))
    (outputs.log_errors.sum() + outputs.face_logits.sum()).backward()
    shaped = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert shaped == {"errors", "face"}


def test_calibration_corrects_the_log_errors():
    model = create_model("heatmap").eval()
    images = torch.rand(2, 1, 112, 112)
    before = split_outputs(model(images)).log_errors
    model.calibration.copy_(torch.tensor([0.5, 2.0]))
    torch.testing.assert_close(split_outputs(model(images)).log_errors, 0.5 + 2 * before)


def test_the_shipped_network_is_small():
    assert sum(p.numel() for p in create_model("heatmap").parameters()) < 2_000_000
