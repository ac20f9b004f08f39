"""Where training computes: devices and memory."""

import ctypes

import torch

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
