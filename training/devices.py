"""Several processes that train or evaluate together, as torchrun starts them: who this one is, and what they share.

    torchrun --nproc-per-node=2 train.py --epochs 30

A command that runs alone is one process, for which everything here returns at once what it was given.
"""

import atexit
import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, default_collate

from face68.files import InputError

PATIENCE = 2  # s in which the first process has said what went wrong, if it went wrong for all
Value = TypeVar("Value")
_alone = False  # whether this process does something without the others, see `alone`


def count() -> int:
    return dist.get_world_size() if dist.is_initialized() and not _alone else 1


def number() -> int:
    """This process's, from 0; the first one alone prints and writes."""
    return dist.get_rank() if dist.is_initialized() and not _alone else 0


def is_first() -> bool:
    return number() == 0


@contextlib.contextmanager
def process_group() -> Iterator[None]:
    """Within the block the processes that torchrun started are one group. Of all but the first stdout leads nowhere,
    and they leave it to the first one to say what goes wrong for all.

    Raises:
        InputError: another process of them ended; or as the block does.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    if not is_first():
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 (it lasts as long as the process)
    try:
        yield
        dist.barrier()  # what gloo's threads hold of the message before is gone then: torch 2.7 waits for that for ever
        dist.destroy_process_group()
    except (InputError, RuntimeError) as error:
        if not is_first():
            time.sleep(PATIENCE)
        if "closed by peer" in str(error) or "reset by peer" in str(error) or isinstance(error, dist.DistError):
            raise InputError("another process of this group has ended; see what it says") from error
        raise


def number_here() -> int:
    """This process's among those of its machine, from 0."""
    return int(os.environ["LOCAL_RANK"]) if count() > 1 else 0


@contextlib.contextmanager
def first_here() -> Iterator[None]:
    """The first process of each machine goes through the block before the others, which find what it left: a cache."""
    if number_here() > 0:
        dist.barrier()
    yield
    if count() > 1 and number_here() == 0:
        dist.barrier()


# --- What they tell each other ----------------------------------------------------------------------------------


def mean_of(values: Tensor) -> Tensor:
    """The mean over the processes, elementwise, without a gradient."""
    if count() == 1:
        return values
    values = values.detach().clone()
    dist.all_reduce(values)
    return values / count()


def any_of(flag: bool) -> bool:
    """Whether it is so for one of them."""
    return bool(mean_of(torch.tensor(float(flag))) > 0) if count() > 1 else flag


def mean_share(amount: Tensor) -> Tensor:
    """An even share of what all processes have of something together, which is at least 1.

    A sum over a process's faces divided by that is a loss whose mean over the processes, to which their gradients are
    averaged, is the mean over all faces: however many of them each process has.
    """
    return mean_of(amount if amount.is_floating_point() else amount.float()).clamp(min=1 / count())


def shard(size: int) -> list[int]:
    """Which of 0 … size - 1 are this process's part: all of them are somebody's, none is two's."""
    return np.array_split(np.arange(size), count())[number()].tolist()


def shard_of_step(samples: list[int]) -> list[int]:
    """This process's part of a step's samples. Where they are too few for all, each process has all of them: gradients,
    losses and statistics are means, and the same (but for the last digits of a variance that BatchNorm keeps).
    """
    return samples if len(samples) < count() else [samples[i] for i in shard(len(samples))]


def gather(part: Value | None) -> list[Value]:
    """The parts of all processes that have one, in the order of `share`."""
    parts = [part] * count()
    if count() > 1:
        dist.all_gather_object(parts, part)
    return [one for one in parts if one is not None]


@contextlib.contextmanager
def local() -> Iterator[None]:
    """Within the block this process is as if there were no others: it waits for none, and none is told anything."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


def on_main(function: Callable[..., Value], *arguments) -> Value | None:
    """What the first process does alone. The others go on, with None, to where they next wait for each other."""
    if not is_first():
        return None
    with local():
        return function(*arguments)


# --- Processes that prepare samples for each of them ------------------------------------------------------------


class WorkerLost(InputError):
    """A process that prepares samples has ended, or has no room for them."""


def loaded(data: Dataset, workers: int, **options) -> Iterator[dict[str, Tensor]]:
    """The batches of a `DataLoader`. Its workers leave signals, which a whole group may get, to this process.

    Raises:
        WorkerLost: only where a batch is asked for, so that the steps before are whole.
    """
    batches = iter(DataLoader(data, num_workers=workers, worker_init_fn=_leave_signals, **options))
    if workers and hasattr(signal, "SIGCHLD"):  # by which torch would raise anywhere, in the middle of a step too
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield from batches
    except RuntimeError as error:
        if not workers:
            raise
        reason = str(error).strip().splitlines()[-1]
        raise WorkerLost(
            f"--workers {workers}: a process that prepares samples failed ({reason}); see that there is memory, also "
            "in /dev/shm, or take fewer"
        ) from error


@atexit.register
def _end_workers() -> None:
    """Those that an error has left: Python would wait for them, and they leave its signal."""
    for worker in multiprocessing.active_children():
        worker.kill()


def _leave_signals(_: int) -> None:
    for number in signal.Signals:
        if number.name in ("SIGINT", "SIGTERM", "SIGHUP"):
            signal.signal(number, signal.SIG_IGN)


# --- A network that they train together --------------------------------------------------------------------------


def parallel(model: nn.Module) -> nn.Module:
    """The network as all processes train it: gradients are their mean, and a batch is normalised as a whole.

    The network itself is changed: its batch normalisation asks the others. Weights and their names stay.
    """
    if count() == 1:
        return model
    device = next(model.parameters()).device
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model) if device.type == "cuda" else _normalised_together(model)
    return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)


def unwrapped(model: nn.Module) -> nn.Module:
    """The network that `parallel` was given."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def _normalised_together(model: nn.Module) -> nn.Module:
    for parent in list(model.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, nn.BatchNorm2d):
                setattr(parent, name, BatchNormOfAll.like(layer))
    return model


class BatchNormOfAll(nn.BatchNorm2d):
    """Batch normalisation by the statistics of all processes' faces (on GPUs torch has its own, SyncBatchNorm).

    So N processes with a batch's N parts learn what one would with the whole of it, and no part is too small.
    """

    @classmethod
    def like(cls, layer: nn.BatchNorm2d) -> "BatchNormOfAll":
        """The same layer: its very weights and statistics."""
        made = cls(layer.num_features, layer.eps, layer.momentum)
        made.weight, made.bias = layer.weight, layer.bias
        for name, buffer in layer.named_buffers():
            setattr(made, name, buffer)
        return made.train(layer.training)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        mean, variance, size = _moments(x.to(self.weight.dtype))
        y = _Normalize.apply(x, self.weight, self.bias, mean, variance, size, self.eps)
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (size / (size - 1)), self.momentum)
        return y


_EACH_CHANNEL = (0, 2, 3)  # the axes to sum over; torch.var_mean takes 50 times as long for that


@torch.no_grad()
def _moments(x: Tensor) -> tuple[Tensor, Tensor, float]:
    """Mean and variance (C,) over all processes' x (B, C, H, W), and over how many values of a channel they are."""
    channels, size = x.shape[1], x.numel() // x.shape[1]
    mean = x.sum(_EACH_CHANNEL) / size
    variance = (x - mean[:, None, None]).square_().sum(_EACH_CHANNEL) / size
    mean, variance = mean.double(), variance.double()  # in which a difference of squares loses nothing
    sums = torch.cat([size * mean, size * (variance + mean**2), torch.tensor([size], dtype=torch.float64)])
    dist.all_reduce(sums)
    size = sums[-1].item()
    mean, square = (sums[:-1] / size).split(channels)
    return mean.to(x.dtype), (square - mean**2).to(x.dtype), size


class _Normalize(torch.autograd.Function):
    """x (B, C, H, W) → (x - mean) / sqrt(variance + eps) · weight + bias, where mean and variance (C,) are of x itself
    and of the other processes' `size` values a channel in all.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, mean, variance, size, eps):
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.size, ctx.eps = size, eps
        return F.batch_norm(x, mean, variance, weight, bias, eps=eps)

    @staticmethod
    def backward(ctx, slope):
        x, weight, mean, variance = ctx.saved_tensors
        slope = slope.to(weight.dtype)
        normal = F.batch_norm(x.to(weight.dtype), mean, variance, eps=ctx.eps)
        sums = torch.stack([slope.sum(_EACH_CHANNEL), (slope * normal).sum(_EACH_CHANNEL)])  # (2, C)
        of_all = sums.clone()
        dist.all_reduce(of_all)
        factor = weight * (variance + ctx.eps).rsqrt()
        shift, pull = (of_all / ctx.size * factor)[:, :, None, None]
        slope_of_x = (slope * factor[:, None, None]).addcmul_(normal, pull, value=-1).sub_(shift)
        return slope_of_x.to(x.dtype), sums[1], sums[0], None, None, None, None


def keep_freed_memory() -> None:
    """Have malloc keep what is freed. Every step allocates the same large tensors; by default glibc gives each back to
    the kernel, which then has to map and clear its pages anew. Without glibc (macOS, Windows) nothing is changed.
    """
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of malloc.h
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 2**31 - 1)


def choose_device(name: str) -> torch.device:
    """The device by its name; "auto" takes CUDA, then Apple's MPS, then the CPU.

    Of several processes on one machine each gets a GPU of its own.

    Raises:
        InputError: torch sees no such device here, or too few, or processes can't share what they compute there.
    """
    has_mps = torch.backends.mps.is_available() and count() == 1
    available = {"cuda": torch.cuda.is_available(), "mps": has_mps, "cpu": True}
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available[name]:
        local = "" if count() == 1 else " for several processes"
        raise InputError(f"--device {name}: torch sees none here{local}; use --device cpu")
    if name != "cuda" or count() == 1:
        return torch.device(name)
    if number_here() >= torch.cuda.device_count():
        raise InputError(f"--device cuda: {torch.cuda.device_count()} GPUs are here; start as many processes at most")
    torch.cuda.set_device(number_here())
    return torch.device("cuda", number_here())


PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """What most of a network is computed in while it trains; "auto" is 16 bits where the device has instructions for
    them.

    bfloat16 (Kalamkar et al., 2019, arXiv:1905.12322) has the range of float32. float16 has not, so that small
    gradients vanish unless the loss is scaled up (Micikevicius et al., 2018, arXiv:1710.03740); older GPUs have nothing
    else.

    Raises:
        InputError: float16 on another device than CUDA, where it would be slow.
    """
    if name == "fp16" and device.type != "cuda":
        raise InputError(f"--precision fp16: is for CUDA, not for --device {device}; use bf16 or fp32")
    if name != "auto":
        return PRECISIONS[name]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    has_instructions = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if has_instructions else torch.float32


def to_device(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """A batch of samples there, the images (B, C, H, W) in the layout that convolutions are fastest with."""
    batch = {name: values.to(device) for name, values in batch.items()}
    return batch | {"image": batch["image"].contiguous(memory_format=torch.channels_last)}


def batches(data: Dataset, workers: int, device: torch.device, size: int = 64) -> Iterator[dict[str, torch.Tensor]]:
    """All samples of a data set in order, in batches on the device."""
    for batch in loaded(data, workers, batch_size=size):
        yield to_device(batch, device)


def first_batch(data: Dataset, device: torch.device, size: int) -> dict[str, torch.Tensor]:
    """The first `size` samples of a data set, or all if it has fewer, on the device.

    A loader would draw a number from the global generator, from which training draws too.
    """
    return to_device(default_collate([data[i] for i in range(min(size, len(data)))]), device)
