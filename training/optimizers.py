"""How training moves the weights: torch's optimizers and Muon, the learning rate's schedule, the weights' average."""

import copy
import math

import torch
from torch import Tensor, nn

TORCH_OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
OPTIMIZERS = (*TORCH_OPTIMIZERS, "muon")


def create_optimizers(
    name: str, model: nn.Module, lr: float, weight_decay: float | None = None
) -> list[torch.optim.Optimizer]:
    """The optimizers that together move all weights of a network, by a name of `OPTIMIZERS`.

    "muon" moves the convolutions' kernels, but for those that read the image, and leaves the rest to Adam.

    weight_decay: None is the optimizer's own. Of "adam" and "sgd" it is added to the gradient; "adamw" and "muon" take
        lr times it off the weights (Loshchilov & Hutter, 2019, arXiv:1711.05101).
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
    """Give a new optimizer the state of the like one, `state_dict()["state"]`; its settings are those it was made with.

    Raises:
        ValueError: it is the state of another.
    """
    likeness = copy.deepcopy(optimizer)  # what it holds after a step says what a state has to
    for group in likeness.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    likeness.step()
    settings, needed = optimizer.state_dict()["param_groups"], likeness.state_dict()["state"]
    if not all(_shapes(values) == _shapes(needed.get(number)) for number, values in state.items()):
        raise ValueError("the state of another optimizer")
    optimizer.load_state_dict({"state": state, "param_groups": settings})


def _shapes(values: dict | None) -> dict | None:
    return values and {name: value.shape if isinstance(value, Tensor) else None for name, value in values.items()}


def one_cycle(done: float) -> float:
    """The learning rate's factor when a share of all steps is done, 0 … 1: one cycle (Smith, 2018, arXiv:1803.09820), a
    linear warm-up over 10% of the steps, then a cosine to 0.
    """
    return min(done / 0.1 + 0.01, 1) if done < 0.1 else 0.5 * (1 + math.cos(math.pi * (done - 0.1) / 0.9))


class WeightAverage:
    """The exponential moving average of a network's weights over the last 100 steps or so, over fewer while there are
    fewer: better than any single step's (Polyak & Juditsky, 1992), and it costs no second training. Batch
    normalisation's statistics are averaged too.

    `model` is the network with these weights.
    """

    def __init__(self, model: nn.Module):
        self.model, self.steps = copy.deepcopy(model).requires_grad_(False), 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take the weights of a step in. One fused operation: no device has to wait for the CPU."""
        pairs = list(zip(_tensors(self.model), _tensors(model), strict=True))
        floats = [pair for pair in pairs if pair[0].is_floating_point()]
        torch._foreach_lerp_(*map(list, zip(*floats, strict=True)), max(0.01, 1 / (1 + self.steps / 2)))
        for average, value in pairs:
            if not average.is_floating_point():
                average.copy_(value)
        self.steps += 1

    def state_dict(self) -> dict:
        return {"model": self.model.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict) -> None:
        """Raises as torch's do: KeyError, RuntimeError."""
        self.model.load_state_dict(state["model"])
        self.steps = state["steps"]


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]


class Muon(torch.optim.Optimizer):
    """Momentum whose matrix is made orthogonal before it moves the weights.

    Gradients of a layer mostly lie in few directions; with their lengths made alike, the rare ones are learned too
    (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/). A kernel (out, in, h, w) counts as the matrix
    (out, in · h · w). A step's root mean square is about `lr`, for matrices of any shape, as with Adam (after Liu et
    al., 2025, arXiv:2502.16982).
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
                if "average" not in state:
                    state["average"] = torch.zeros_like(parameter)
                average = state["average"]
                average.lerp_(parameter.grad, 1 - group["momentum"])
                gradient = parameter.grad.lerp(average, group["momentum"])  # Nesterov's momentum
                update = orthogonalize(gradient.flatten(1))
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                # The squares of an orthogonal matrix sum to the shorter of its sides, so their mean is 1 / the longer.
                parameter.add_(update.view_as(parameter), alpha=-group["lr"] * math.sqrt(max(update.shape)))


def orthogonalize(matrix: Tensor, steps: int = 4) -> Tensor:
    """The nearest (semi-)orthogonal matrix, roughly: U Vᵀ of the singular value decomposition U S Vᵀ.

    By Newton-Schulz iteration with a quintic whose coefficients are Jordan's: singular values end between about 0.7 and
    1.2 rather than at 1, after few steps. Each step multiplies X from the left by a polynomial of X Xᵀ, so it is enough
    to iterate on that small square matrix.
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
    """What X is multiplied by in a step, where `gram` is X Xᵀ."""
    return 3.4445 * identity + (2.0315 * gram - 4.7750 * identity) @ gram
