"""Optimizers (torch's and Muon), the schedule of the learning rate, and the moving average of the weights."""

import copy
import math

import torch
from torch import Tensor, nn

TORCH_OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
OPTIMIZERS = (*TORCH_OPTIMIZERS, "muon")


def create_optimizers(
    name: str, model: nn.Module, lr: float, weight_decay: float | None = None
) -> list[torch.optim.Optimizer]:
    """The optimizers that together change all weights of a network, by a name of `OPTIMIZERS`.

    "muon" changes the kernels of convolutions; Adam does the rest, and the kernels that read the image.

    weight_decay: None: the optimizer's default. "adam" and "sgd" add it to the gradient; "adamw" and "muon" subtract it
        times lr from the weights (Loshchilov & Hutter, 2019, arXiv:1711.05101).
    """
    decay = {} if weight_decay is None else {"weight_decay": weight_decay}
    if name != "muon":
        return [TORCH_OPTIMIZERS[name](model.parameters(), lr, **decay)]
    kernels, others = [], []
    for parameter in model.parameters():
        (kernels if parameter.ndim == 4 and parameter.shape[1] > 3 else others).append(parameter)
    decay = {"weight_decay": weight_decay or 0.0}
    return [Muon(kernels, lr, **decay), torch.optim.AdamW(others, lr, **decay)]  # without decay AdamW is Adam


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict) -> None:
    """Load a saved `state_dict()["state"]` into a new optimizer, which keeps the settings it was made with.

    Raises:
        ValueError: it is the state of another optimizer.
    """
    # A copy makes one step, to see which tensors a state of this optimizer holds.
    probe = copy.deepcopy(optimizer)
    for group in probe.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    probe.step()
    needed = probe.state_dict()["state"]
    if not all(_shapes(values) == _shapes(needed.get(number)) for number, values in state.items()):
        raise ValueError("the state of another optimizer")
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def _shapes(values: dict | None) -> dict | None:
    return values and {name: value.shape if isinstance(value, Tensor) else None for name, value in values.items()}


def one_cycle(done: float) -> float:
    """The factor of the learning rate when a share of all steps is done, 0 … 1: a linear warm-up over 10% of the steps,
    then a cosine to 0 (one cycle: Smith, 2018, arXiv:1803.09820).
    """
    return min(done / 0.1 + 0.01, 1) if done < 0.1 else 0.5 * (1 + math.cos(math.pi * (done - 0.1) / 0.9))


@torch.no_grad()
def average_weights(average: nn.Module, model: nn.Module, steps: int) -> None:
    """Update the exponential moving average of a network's weights and batch statistics, `steps` steps after its start.

    It reaches over about the last 100 steps, and is better than the weights of any single step (Polyak & Juditsky,
    1992). The same as `torch.optim.swa_utils.AveragedModel`, which would have a GPU wait for the CPU at each step.
    """
    pairs = list(zip(_tensors(average), _tensors(model), strict=True))
    floats = [pair for pair in pairs if pair[0].is_floating_point()]
    torch._foreach_lerp_(*map(list, zip(*floats, strict=True)), max(0.01, 1 / (1 + steps / 2)))
    for mean, value in pairs:
        if not mean.is_floating_point():
            mean.copy_(value)


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]


class Muon(torch.optim.Optimizer):
    """Momentum that is made orthogonal, as a matrix, before it changes the weights.

    A layer's gradients mostly lie in few directions. Made orthogonal they are equally long in all of them, so that rare
    directions are learned too (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/). A kernel (out, in, h,
    w) is taken as the matrix (out, in · h · w). A step's root mean square is about `lr` for every shape of matrix, as
    with Adam (after Liu et al., 2025, arXiv:2502.16982).
    """

    def __init__(self, parameters, lr: float, momentum: float = 0.9, weight_decay: float = 0.0):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["average"] = torch.zeros_like(parameter)
                average = state["average"]
                average.lerp_(parameter.grad, 1 - group["momentum"])
                gradient = parameter.grad.lerp(average, group["momentum"])  # Nesterov's momentum
                update = orthogonalize(gradient.flatten(1))
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                # The squares of an orthogonal matrix sum to the shorter of its sides, so their mean is 1 / the longer.
                parameter.add_(update.view_as(parameter), alpha=-group["lr"] * math.sqrt(max(update.shape)))


def orthogonalize(matrix: Tensor, steps: int = 4) -> Tensor:
    """Roughly the nearest (semi-)orthogonal matrix: U Vᵀ of the singular value decomposition U S Vᵀ.

    A few Newton-Schulz iterations with Jordan's quintic bring the singular values to between about 0.7 and 1.2. Each
    step multiplies X from the left by a polynomial of X Xᵀ, so it suffices to iterate on that small square matrix.
    """
    x = matrix / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    identity, gram = torch.eye(len(x), dtype=x.dtype, device=x.device), x @ x.T
    product = factor = _polynomial(gram, identity)
    for _ in range(steps - 1):
        gram = factor @ gram @ factor
        factor = _polynomial(gram, identity)
        product = factor @ product
    x = product @ x
    return x.T if tall else x


def _polynomial(gram: Tensor, identity: Tensor) -> Tensor:
    """The factor of X in one step; gram: X Xᵀ."""
    return 3.4445 * identity + (2.0315 * gram - 4.7750 * identity) @ gram
