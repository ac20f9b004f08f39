"""Where and how training computes: devices, precision, memory."""

import ctypes
from collections.abc import Iterator

import torch
from torch.utils.data import Dataset, default_collate

from face68.files import InputError
from training import devices


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
    has_mps = torch.backends.mps.is_available() and devices.count() == 1
    available = {"cuda": torch.cuda.is_available(), "mps": has_mps, "cpu": True}
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available[name]:
        alone = "" if devices.count() == 1 else " for several processes"
        raise InputError(f"--device {name}: torch sees none here{alone}; use --device cpu")
    if name != "cuda" or devices.count() == 1:
        return torch.device(name)
    if devices.number_here() >= torch.cuda.device_count():
        raise InputError(f"--device cuda: {torch.cuda.device_count()} GPUs are here; start as many processes at most")
    torch.cuda.set_device(devices.number_here())
    return torch.device("cuda", devices.number_here())


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
    for batch in devices.loaded(data, workers, batch_size=size):
        yield to_device(batch, device)


def first_batch(data: Dataset, device: torch.device, size: int) -> dict[str, torch.Tensor]:
    """The first `size` samples of a data set, or all if it has fewer, on the device.

    A loader would draw a number from the global generator, from which training draws too.
    """
    return to_device(default_collate([data[i] for i in range(min(size, len(data)))]), device)
