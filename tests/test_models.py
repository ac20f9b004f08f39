import pytest
import torch

from models import MODELS, create_model, soft_argmax, split_outputs


@pytest.mark.parametrize("name", MODELS)
def test_output_shape_and_gradients(name):
    model = create_model(name)
    size = model.input_size
    outputs = model(torch.rand(2, 1, size, size))
    assert outputs.shape == (2, 136)
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


def test_soft_argmax_finds_a_peak_between_cells():
    # Half the mass in column 2 and half in column 3 of 8, all of it in row 1 of 4.
    maps = torch.full((1, 1, 4, 8), -1e9)
    maps[0, 0, 1, 2:4] = 5.0
    expected = torch.tensor([[[2 * 3.0 / 8 - 1, 2 * 1.5 / 4 - 1]]])  # the cells' common edge, the row's middle
    torch.testing.assert_close(soft_argmax(maps), expected)


def test_split_outputs():
    rows = torch.arange(2 * 136.0).reshape(2, 136)
    keypoints, log_errors = split_outputs(rows)
    assert keypoints[1, 0].tolist() == [136, 137] and log_errors is None
    assert split_outputs(torch.zeros(2, 204))[1].shape == (2, 68)


def test_the_shipped_network_is_small():
    assert sum(p.numel() for p in create_model("heatmap").parameters()) < 2_000_000
