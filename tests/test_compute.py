"""The device by its name, and what torch doesn't see here."""

import pytest
import torch

from compute import choose_device, keep_freed_memory
from face68.files import InputError


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
