"""Where a network is trained and evaluated: on which device, in which precision, in how many processes.

    torchrun --nproc-per-node=2 train.py --epochs 30

torchrun starts several processes, a group. A command without torchrun is one process; the functions of the group then
return at once: the mean over the group is the value itself.
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
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, default_collate

from face68.files import InputError

PATIENCE = 2  # s that the other processes leave the first one to report an error that all have
Value = TypeVar("Value")
_is_local = False  # whether this process acts without the others, see `local`


def count() -> int:
    """How many processes are in the group."""
    return dist.get_world_size() if dist.is_initialized() and not _is_local else 1


def number() -> int:
    """This process's number in the group, from 0. Only the first one prints and writes."""
    return dist.get_rank() if dist.is_initialized() and not _is_local else 0


def is_first() -> bool:
    return number() == 0


@contextlib.contextmanager
def process_group() -> Iterator[None]:
    """Within the block the processes that torchrun started are a group. Only the first one prints to stdout, and it
    alone reports an error that all of them have.

    Raises:
        InputError: another process of the group has ended; or as the block does.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    if not is_first():
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 (it lasts as long as the process)
    try:
        yield
        dist.barrier()  # gloo's threads have then let go of the last message; else torch 2.7 waits for it for ever
        dist.destroy_process_group()
    except (InputError, RuntimeError) as error:
        if not is_first():
            time.sleep(PATIENCE)
        if "closed by peer" in str(error) or "reset by peer" in str(error) or isinstance(error, dist.DistError):
            raise InputError("another process of this group has ended; see what it says") from error
        raise


def number_here() -> int:
    """This process's number on its machine, from 0."""
    return int(os.environ["LOCAL_RANK"]) if count() > 1 else 0


@contextlib.contextmanager
def first_here() -> Iterator[None]:
    """The first process of each machine runs the block before the others, which then find the cache that it filled."""
    if number_here() > 0:
        dist.barrier()
    yield
    if count() > 1 and number_here() == 0:
        dist.barrier()


# --- Values of all processes -------------------------------------------------------------------------------------


def mean_of(values: Tensor) -> Tensor:
    """The mean over the processes, elementwise, without a gradient."""
    if count() == 1:
        return values
    values = values.detach().clone()
    dist.all_reduce(values)
    return values / count()


def any_of(flag: bool) -> bool:
    """Whether the flag is set in any process."""
    return bool(mean_of(torch.tensor(float(flag))) > 0) if count() > 1 else flag


def mean_share(amount: Tensor) -> Tensor:
    """The mean of an amount, such as a number of faces, over the processes; the amounts count as at least 1 together.

    Each process divides the sum of its faces' losses by this. DistributedDataParallel averages gradients over the
    processes, so they are those of the mean loss of all faces, though one process has more faces than another.
    """
    return mean_of(amount if amount.is_floating_point() else amount.float()).clamp(min=1 / count())


def shard(size: int) -> list[int]:
    """This process's part of the numbers 0 … size - 1; each number is in one process's part."""
    return np.array_split(np.arange(size), count())[number()].tolist()


def shard_of_step(samples: list[int]) -> list[int]:
    """This process's part of a step's samples. If they are fewer than the processes, each process takes all of them:
    the means of losses and gradients over the processes stay the same.
    """
    return samples if len(samples) < count() else [samples[i] for i in shard(len(samples))]


def gather(part: Value | None) -> list[Value]:
    """The parts of all processes in the order of `shard`, without None."""
    parts = [part] * count()
    if count() > 1:
        dist.all_gather_object(parts, part)
    return [one for one in parts if one is not None]


@contextlib.contextmanager
def local() -> Iterator[None]:
    """Within the block this process acts as if it were the only one: it exchanges nothing with the others."""
    global _is_local
    before, _is_local = _is_local, True
    try:
        yield
    finally:
        _is_local = before


def on_main(function: Callable[..., Value], *arguments) -> Value | None:
    """Call a function in the first process only. The others return None at once."""
    if not is_first():
        return None
    with local():
        return function(*arguments)


# --- Workers: processes that prepare samples ----------------------------------------------------------------------


class WorkerLost(InputError):
    """A worker has ended, or has no memory for its samples."""


def loaded(data: Dataset, workers: int, **options) -> Iterator[dict[str, Tensor]]:
    """The batches of a `DataLoader`. Workers ignore the signals that end a command; this process handles them.

    Raises:
        WorkerLost: where the next batch is asked for, never within a step.
    """
    batches = iter(DataLoader(data, num_workers=workers, worker_init_fn=_ignore_signals, **options))
    if workers and hasattr(signal, "SIGCHLD"):  # torch's handler would raise in the middle of a step
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield from batches
    except (RuntimeError, ConnectionError) as error:  # the latter where a batch was on its way
        if not workers:
            raise
        reason = str(error).strip().splitlines()[-1]
        raise WorkerLost(
            f"--workers {workers}: a process that prepares samples failed ({reason}); see that there is memory, also "
            "in /dev/shm, or take fewer"
        ) from error


@atexit.register
def _end_workers() -> None:
    """Kill workers that an error left: Python would wait for them, and they ignore its signal."""
    for worker in multiprocessing.active_children():
        worker.kill()


def _ignore_signals(_: int) -> None:
    for number in signal.Signals:
        if number.name in ("SIGINT", "SIGTERM", "SIGHUP"):
            signal.signal(number, signal.SIG_IGN)


# --- A network that all processes train ---------------------------------------------------------------------------


def parallel(model: nn.Module) -> nn.Module:
    """The network as all processes train it: each step has the mean of their gradients.

    On GPUs batch normalisation takes its statistics over the whole batch: layers of the network itself become
    SyncBatchNorm, with the same weights. On CPUs, for which torch has no such layer, each process normalises its own
    part of the batch, and the first process's running statistics are kept: `--batch-size` shouldn't be small there.
    """
    if count() == 1:
        return model
    device = next(model.parameters()).device
    if device.type != "cuda":
        return DistributedDataParallel(model)
    return DistributedDataParallel(nn.SyncBatchNorm.convert_sync_batchnorm(model), device_ids=[device])


def unwrapped(model: nn.Module) -> nn.Module:
    """The network that `parallel` was given."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def share_buffers(model: nn.Module) -> None:
    """Give all processes the first one's buffers of a network: on CPUs each has batch statistics of its own faces."""
    if count() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


# --- Device, precision, batches ----------------------------------------------------------------------------------


def keep_freed_memory() -> None:
    """Have glibc's malloc keep freed memory: every step allocates the same large tensors, and by default the kernel
    maps and clears their pages anew each time. Without glibc (macOS, Windows) nothing changes.
    """
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of malloc.h
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 2**31 - 1)


def choose_device(name: str) -> torch.device:
    """The device by its name; "auto" takes CUDA, then Apple's MPS, then the CPU. Each process of a machine gets a GPU
    of its own.

    Raises:
        InputError: torch sees no such device or too few, or several processes can't train on it.
    """
    has_mps = torch.backends.mps.is_available() and count() == 1
    available = {"cuda": torch.cuda.is_available(), "mps": has_mps, "cpu": True}
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available[name]:
        purpose = "" if count() == 1 else " for several processes"
        raise InputError(f"--device {name}: torch sees none here{purpose}; use --device cpu")
    if name != "cuda" or count() == 1:
        return torch.device(name)
    if number_here() >= torch.cuda.device_count():
        raise InputError(f"--device cuda: {torch.cuda.device_count()} GPUs are here; start as many processes at most")
    torch.cuda.set_device(number_here())
    return torch.device("cuda", number_here())


PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The type that most of a network is computed in while it trains; "auto" takes 16 bits where the device has
    instructions for them.

    bfloat16 (Kalamkar et al., 2019, arXiv:1905.12322) has the range of float32. float16, all that older GPUs have,
    hasn't: small gradients vanish unless the loss is scaled up (Micikevicius et al., 2018, arXiv:1710.03740).

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
    """A batch of samples on a device; the images (B, C, H, W) in channels-last layout, in which convolutions are
    fastest.
    """
    batch = {name: values.to(device) for name, values in batch.items()}
    return batch | {"image": batch["image"].contiguous(memory_format=torch.channels_last)}


def batches(data: Dataset, workers: int, device: torch.device, size: int = 64) -> Iterator[dict[str, torch.Tensor]]:
    """All samples of a data set in order, in batches on the device."""
    for batch in loaded(data, workers, batch_size=size):
        yield to_device(batch, device)


def first_batch(data: Dataset, device: torch.device, size: int) -> dict[str, torch.Tensor]:
    """The first `size` samples of a data set, or all if it has fewer, on the device.

    Without a DataLoader, which would draw a number from the global generator, as training does.
    """
    return to_device(default_collate([data[i] for i in range(min(size, len(data)))]), device)
