import math

import pytest
import torch

from face68.files import InputError
from models import DetectorOutputs, Outputs
from training.losses import detection_loss, error_loss, face_loss, heatmap_loss, keypoint_loss, wing_loss


def test_wing_loss_by_hand():
    # Logarithmic below the width, linear above, and continuous where they meet.
    zero = torch.zeros(1)
    log2 = torch.log(torch.tensor(2.0))
    torch.testing.assert_close(wing_loss(torch.tensor([0.5]), zero, width=1.0, curvature=0.5), log2)
    linear = wing_loss(torch.tensor([3.0]), zero, 1.0, 0.5) - wing_loss(torch.tensor([2.0]), zero, 1.0, 0.5)
    torch.testing.assert_close(linear, torch.tensor(1.0))
    below, above = (wing_loss(torch.tensor([x]), zero, 1.0, 0.5) for x in (1 - 1e-6, 1 + 1e-6))
    torch.testing.assert_close(below, above, atol=1e-5, rtol=0)


def test_only_faces_count_in_the_keypoint_loss():
    target = torch.zeros(3, 68, 2)
    keypoints = torch.stack([torch.full((68, 2), value) for value in (1.0, 2.0, 7.0)]).requires_grad_()
    loss = keypoint_loss(torch.nn.functional.mse_loss, keypoints, target, torch.tensor([1.0, 1.0, 0.0]))
    assert loss.item() == pytest.approx((1 + 4) / 2)
    loss.backward()
    assert keypoints.grad[:2].all() and not keypoints.grad[2].any()
    assert keypoint_loss(torch.nn.functional.mse_loss, keypoints, target, torch.zeros(3)).item() == 0


@pytest.mark.parametrize(
    "criterion",
    [torch.nn.MSELoss(), lambda a, b: (a - b).abs(), lambda a, b, reduction: (a - b).mean()],
)
def test_a_loss_that_gives_none_for_each_face_is_refused_in_a_line(criterion):
    with pytest.raises(InputError, match=r'^--loss: .* must take reduction="none".*$'):
        keypoint_loss(criterion, torch.ones(2, 68, 2), torch.zeros(2, 68, 2), torch.ones(2))


def test_the_heatmap_loss_is_zero_for_a_gaussian_around_the_point():
    target = torch.tensor([[[0.1, -0.3]], [[5.0, 5.0]]]).expand(2, 68, 2)
    centres = (torch.arange(28) * 2 + 1) / 28 - 1

    def around(x, y):
        return -(((centres[None, :] - x) * 14) ** 2 + ((centres[:, None] - y) * 14) ** 2).expand(2, 68, 28, 28) / 2

    first, second = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])  # which of the crops shows a face
    assert heatmap_loss(around(0.1, -0.3), target, first).item() == pytest.approx(0, abs=1e-4)
    # Against a flat map: log 28² less the Gaussian's entropy, log(2 pi e) nats for a standard deviation of one cell.
    flat = heatmap_loss(torch.zeros(2, 68, 28, 28), target, first).item()
    assert flat == pytest.approx(2 * math.log(28) - math.log(2 * math.pi * math.e), abs=1e-3)
    # Two Gaussians of one width: half the squared distance, here of 1.4 and 2.8 cells.
    beside = heatmap_loss(around(0.2, -0.1), target, first).item()
    assert beside == pytest.approx((1.4**2 + 2.8**2) / 2, abs=1e-3)
    corner = torch.zeros(2, 68, 28, 28)
    corner[..., -1, -1] = 20
    assert heatmap_loss(corner, target, second) < 0.01, "a point outside pulls to the nearest edge"


def test_the_loss_on_errors_is_least_at_the_true_error():
    """For points that are 0.5 off, the best log error is log 0.5; background teaches nothing of it."""
    keypoints, target = torch.zeros(2, 68, 2), torch.zeros(2, 68, 2)
    target[0, :, 0] = 0.5
    target[1] = 100
    log_errors = torch.full((2, 68), 0.5).log().requires_grad_()
    loss = error_loss(Outputs(keypoints, log_errors), target, torch.tensor([1.0, 0.0]))
    assert loss.item() == pytest.approx(1 + torch.tensor(0.5).log().item(), abs=1e-5)
    loss.backward()
    assert log_errors.grad.abs().max() < 1e-6


def test_the_loss_on_faces_is_the_cross_entropy():
    outputs = Outputs(torch.zeros(2, 68, 2), face_logits=torch.tensor([0.25, 0.5]).logit())
    loss = face_loss(outputs, torch.tensor([1.0, 0.0])).item()
    assert loss == pytest.approx((math.log(4) + math.log(2)) / 2, abs=1e-6)


def of_a_picture(heat: float, at: tuple[int, int]) -> tuple[DetectorOutputs, dict]:
    """What a perfect detector says of a picture of 3 × 3 cells with one face, and the target."""
    zeros = torch.zeros(1, 3, 3)
    target = {"heatmap": zeros.clone(), "ignore_mask": zeros.bool(), "log_sides": zeros.clone()}
    target |= {"centers": torch.zeros(1, 2, 3, 3), "axes": torch.zeros(1, 2, 3, 3)}
    target["heatmap"][0][at] = heat
    logits = torch.where(target["heatmap"] == 1, 20.0, -20.0)
    return DetectorOutputs(
        logits, target["centers"].clone(), target["log_sides"].clone(), target["axes"].clone()
    ), target


def test_the_detection_loss_by_hand():
    maps, target = of_a_picture(1.0, (1, 1))
    assert detection_loss(maps, target).item() == pytest.approx(0, abs=1e-6)
    half = maps._replace(score_logits=torch.zeros(1, 3, 3))
    # Nine cells at a probability of one half: 0.5² of -log 0.5 each, over one face.
    assert detection_loss(half, target).item() == pytest.approx(9 * 0.25 * math.log(2))
    target["ignore_mask"][0, 0] = True
    assert detection_loss(half, target).item() == pytest.approx(6 * 0.25 * math.log(2)), (
        "what isn't known doesn't count"
    )
    target["heatmap"][0, 2, 2] = 0.25
    expected = (5 + 0.75**4) * 0.25 * math.log(2)
    assert detection_loss(half, target).item() == pytest.approx(expected), "near a centre less is asked"


def test_where_and_how_large_a_face_is_counts_in_its_cells_alone():
    maps, target = of_a_picture(1.0, (1, 1))
    for name, off, loss in (("centers", 0.5, 1.0), ("log_sides", 0.5, 0.5), ("axes", 0.25, 0.5)):
        values = getattr(maps, name).clone()
        values[..., 0, 0] += 9  # nobody's cell
        assert detection_loss(maps._replace(**{name: values}), target).item() == pytest.approx(0, abs=1e-6)
        values[..., 1, 1] += off  # of two coordinates each
        assert detection_loss(maps._replace(**{name: values}), target).item() == pytest.approx(loss, abs=1e-6)
    target["log_sides"] += math.log(4)
    off = maps._replace(centers=maps.centers + 0.5, log_sides=target["log_sides"])
    assert detection_loss(off, target).item() == pytest.approx(1 / 2), (
        "four times as large, it may be off by twice as much"
    )


def test_losses_are_of_differences_wherever_the_truth_lies():
    torch.manual_seed(0)
    predicted, truth = torch.randn(2, 3, 68, 2) / 5
    torch.testing.assert_close(wing_loss(predicted, truth), wing_loss(predicted - truth, torch.zeros(1)))
    maps, target = of_a_picture(1.0, (1, 1))
    for name in ("centers", "log_sides", "axes"):
        target[name] += torch.randn(target[name].shape)
    right = maps._replace(**{name: target[name] for name in ("centers", "log_sides", "axes")})
    assert detection_loss(right, target).item() == pytest.approx(0, abs=1e-6)


def test_cells_near_a_centre_count_as_they_are_near_and_from_a_third_on():
    maps, target = of_a_picture(1.0, (1, 1))
    target["heatmap"][0, 0, 2], target["heatmap"][0, 2, 2] = 0.5, 0.25
    off = torch.zeros(1, 2, 3, 3)
    off[0, 0, 2, 2] = 9
    assert detection_loss(maps._replace(centers=off), target).item() == pytest.approx(0, abs=1e-6)
    off[0, 0, 0, 2] = 1
    assert detection_loss(maps._replace(centers=off), target).item() == pytest.approx(0.5 / 1.5, abs=1e-6)
