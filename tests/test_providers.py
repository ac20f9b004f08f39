"""Networks compute where the user says, if ONNX Runtime has that here; else a line says what to do."""

import warnings

import numpy as np
import onnxruntime
import pytest
from conftest import PRETRAINED, SHIPPED, one_line_error

import predict
from face68.files import InputError
from face68.landmarker import Landmarker
from face68.network import PROVIDERS, open_session


def test_where_onnx_runtime_computes_is_chosen_and_said(monkeypatch, landmarker, hopper):
    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    with pytest.raises(InputError, match=r"provider gpu: is none of cpu, cuda, coreml, directml, openvino"):
        Landmarker("base", provider="gpu")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names[1:])
    with pytest.raises(InputError, match=r"provider cuda: ONNX Runtime has cpu here; install onnxruntime-gpu in its"):
        Landmarker("base", provider="cuda")
    # One whose driver is missing: ONNX Runtime warns and goes on without it.
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    with warnings.catch_warnings(), pytest.raises(InputError, match=r"provider cuda: doesn't start"):
        warnings.simplefilter("ignore")
        open_session(SHIPPED, provider="cuda")
    (one,), (other,) = Landmarker("base", provider="cpu")(hopper), landmarker(hopper)
    np.testing.assert_array_equal(one.keypoints, other.keypoints)


@pytest.mark.parametrize("name", [name for name in PROVIDERS if name != "cpu"])
def test_other_processors_find_the_same_points(name, landmarker, hopper):
    if PROVIDERS[name][0] not in onnxruntime.get_available_providers():
        pytest.skip(f"ONNX Runtime has no {name} here")
    (one,), (other,) = Landmarker("base", provider=name)(hopper), landmarker(hopper)
    np.testing.assert_allclose(one.keypoints, other.keypoints, atol=1.5)  # px; in 8 bits they round otherwise


def test_the_command_takes_it_and_names_what_is_missing(in_process, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert "--provider" in one_line_error(in_process(predict.main, "--provider", "tpu"))
    assert "install onnxruntime-gpu" in one_line_error(in_process(predict.main, "--provider", "cuda", "--no-pictures"))
    line = ("--checkpoint", PRETRAINED, "--provider", "openvino", "--no-pictures")
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: list(next(zip(*PROVIDERS.values(), strict=True)))
    )
    assert "export.py" in one_line_error(in_process(predict.main, *line, "--detector", "none"))
