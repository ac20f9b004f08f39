"""Where and how training computes: devices, precision, memory."""

import ctypes
from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from face68.files import InputError


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

    Raises:
        InputError: torch sees no such device here.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available[name]:
        raise InputError(f"--device {name}: torch sees none here; use --device cpu")
    return torch.device(name)


def precision_of(name: str, device: torch.device) -> torch.autocast:
    """A context in which a network computes in "fp32" or, most of it, in "bf16" (Kalamkar et al., 2019)."""
    return torch.autocast(device.type, torch.bfloat16, enabled=name == "bf16")


def to_device(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """A batch of samples there, the images (B, C, H, W) in the layout that convolutions are fastest with."""
    batch = {name: values.to(device) for name, values in batch.items()}
    return batch | {"image": batch["image"].contiguous(memory_format=torch.channels_last)}


def batches(data: Dataset, workers: int, device: torch.device, size: int = 64) -> Iterator[dict[str, torch.Tensor]]:
    """All samples of a data set in order, in batches on the device."""
    for batch in DataLoader(data, size, num_workers=workers):
        yield to_device(batch, device)


def first_batch(data: Dataset, device: torch.device, size: int) -> dict[str, torch.Tensor]:
    """The first `size` samples of a data set, or all if it has fewer, on the device.

    A loader would draw a number from the global generator, from which training draws too.
    """
    return to_device(default_collate([data[i] for i in range(min(size, len(data)))]), device)
