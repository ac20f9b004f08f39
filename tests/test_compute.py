"""Devices, precision and memory."""

import pytest
import torch

from face68.files import InputError
from training.devices import choose_device, choose_precision, keep_freed_memory


def test_auto_takes_the_fastest_that_is_there(monkeypatch):
    for cuda, mps, expected in ((True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=cuda: there)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda there=mps: there)
        assert choose_device("auto") == torch.device(expected)
        assert choose_device("cpu") == torch.device("cpu")
        for name, there in (("cuda", cuda), ("mps", mps)):
            if not there:
                with pytest.raises(InputError, match=f"--device {name}"):
                    choose_device(name)


def test_memory_is_kept_or_nothing_happens(monkeypatch):
    keep_freed_memory()
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())  # no glibc: nothing by that name in it
    keep_freed_memory()


@pytest.mark.parametrize(
    ("device", "has_instructions", "expected"),
    [
        ("cpu", True, torch.bfloat16),
        ("cpu", False, torch.float32),
        ("cuda", True, torch.bfloat16),
        ("cuda", False, torch.float16),
        ("mps", True, torch.float32),
    ],
)
def test_auto_takes_16_bits_where_there_are_instructions_for_them(monkeypatch, device, has_instructions, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_instructions)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_instructions)
    assert choose_precision("auto", torch.device(device)) == expected
    assert choose_precision("fp32", torch.device(device)) == torch.float32


def test_float16_is_for_gpus():
    assert choose_precision("fp16", torch.device("cuda")) == torch.float16
    with pytest.raises(InputError, match="--precision fp16: is for CUDA, not for --device cpu"):
        choose_precision("fp16", torch.device("cpu"))
