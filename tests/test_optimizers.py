"""Optimizers, the schedule of the learning rate, the average of the weights."""

import copy

import pytest
import torch

from models import create_model
from training.optimizers import (
    OPTIMIZERS,
    Muon,
    average_weights,
    create_optimizers,
    one_cycle,
    orthogonalize,
    restore_optimizer,
)


@pytest.mark.parametrize("shape", [(24, 60), (60, 24), (30, 30), (1, 40)])
def test_orthogonalize_keeps_the_directions_and_levels_their_lengths(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    u, before, v = torch.linalg.svd(matrix, full_matrices=False)
    inner = u.T @ orthogonalize(matrix) @ v.T
    after = inner.diagonal()
    assert (inner - after.diag()).abs().max() < 1e-4, "the same singular vectors"
    lengths = before / before.norm()
    for _ in range(4):  # Jordan's quintic of each singular value
        lengths = 3.4445 * lengths - 4.7750 * lengths**3 + 2.0315 * lengths**5
    torch.testing.assert_close(after, lengths, atol=1e-4, rtol=0)
    strong = before > 0.1 * before.max()  # very small ones need more steps
    assert after[strong].min() > 0.5 and after.max() < 1.3


def test_a_step_is_as_long_as_the_learning_rate_says():
    torch.manual_seed(0)
    for shape in ((16, 8, 3, 3), (64, 4, 1, 1)):
        kernel = torch.nn.Parameter(torch.randn(shape))
        before = kernel.detach().clone()
        (kernel**2).sum().backward()
        Muon([kernel], lr=0.01).step()
        change = kernel.detach() - before
        assert (change * before).sum() < 0, "downhill"
        assert change.square().mean().sqrt().item() == pytest.approx(0.01, rel=0.3)


def test_momentum_goes_on_where_the_gradient_is_gone():
    kernel = torch.nn.Parameter(torch.eye(4).view(4, 4, 1, 1))
    muon = Muon([kernel], lr=0.01)
    kernel.grad = torch.eye(4).view(4, 4, 1, 1)
    muon.step()
    before = kernel.detach().clone()
    kernel.grad = torch.zeros(4, 4, 1, 1)
    muon.step()
    assert (kernel - before).abs().max() > 0.005


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("model", ["net", "heatmap"])
def test_every_weight_has_one_optimizer(name, model):
    network = create_model(model)
    moved = [p for one in create_optimizers(name, network, 1e-3) for group in one.param_groups for p in group["params"]]
    assert sorted(map(id, moved)) == sorted(map(id, network.parameters()))
    if name == "muon":
        muon, adam = create_optimizers(name, network, 1e-3)
        assert isinstance(muon, Muon) and {p.ndim for p in muon.param_groups[0]["params"]} == {4}
        assert any(p.shape[1] == 1 for p in adam.param_groups[0]["params"] if p.ndim == 4), "what reads the image"


def test_one_cycle_by_hand():
    assert one_cycle(0) == 0.01 and one_cycle(0.05) == pytest.approx(0.51) and one_cycle(0.0999) == 1
    assert one_cycle(0.1) == 1 and one_cycle(0.55) == pytest.approx(0.5) and one_cycle(1) == pytest.approx(0)


def test_the_average_of_weights_is_torchs_own():
    """Against torch's AveragedModel."""
    torch.manual_seed(0)
    model = create_model("heatmap", widths=(4, 4, 4, 4, 4))

    def exponential(average, value, count):
        weight = max(0.01, 1 / (1 + count.item() / 2))
        return torch.lerp(average, value, weight) if value.is_floating_point() else value

    expected = torch.optim.swa_utils.AveragedModel(model, avg_fn=exponential, use_buffers=True)
    average = copy.deepcopy(model)
    for step in range(4):
        with torch.no_grad():
            for tensor in (*model.parameters(), *model.buffers()):
                tensor.add_(torch.randn(tensor.shape)) if tensor.is_floating_point() else tensor.add_(1)
        expected.update_parameters(model)
        average_weights(average, model, step)
    for name, value in expected.module.state_dict().items():
        assert torch.equal(average.state_dict()[name], value), name


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_state_of_another_optimizer_is_refused(name):
    def stepped(width):
        model = torch.nn.Sequential(torch.nn.Conv2d(4, width, 3), torch.nn.Flatten(), torch.nn.Linear(width, 1))
        optimizers = create_optimizers(name, model, 0.1)
        model(torch.rand(2, 4, 3, 3)).sum().backward()
        for optimizer in optimizers:
            optimizer.step()
        return optimizers, [optimizer.state_dict()["state"] for optimizer in optimizers]

    (fresh, states), (_, others) = stepped(6), stepped(7)
    for optimizer, state, other in zip(fresh, states, others, strict=True):
        restore_optimizer(optimizer, state)
        if not state:  # SGD without momentum remembers nothing
            continue
        for wrong in (other, {0: {}}, {10**6: state[0]}, {0: dict.fromkeys(state[0])}):
            with pytest.raises(ValueError, match="another optimizer"):
                restore_optimizer(optimizer, wrong)
