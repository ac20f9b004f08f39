"""What runs a network: exported files and what is none, the choice of a network, and a process without torch."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from conftest import PRETRAINED, REPOSITORY, SHIPPED
from onnx import TensorProto, helper

import networks
from face68.files import InputError, sha256
from face68.network import BATCH, OnnxNetwork, shipped_network


def test_many_crops_are_as_each_alone():
    network = OnnxNetwork(SHIPPED)
    crops = np.random.default_rng(0).integers(0, 256, (BATCH + 3, 112, 112), dtype=np.uint8)
    together = network(crops)
    assert together.keypoints.shape == (BATCH + 3, 68, 2) and together.face_scores.shape == (BATCH + 3,)
    for i in (0, BATCH - 1, BATCH, BATCH + 2):
        np.testing.assert_allclose(network(crops[i : i + 1]).keypoints[0], together.keypoints[i], atol=1e-3)


def test_the_package_ships_one():
    assert shipped_network() == SHIPPED and OnnxNetwork(shipped_network()).policy.size == 112


def tiny_model(path, **metadata) -> None:
    """An .onnx file that is none of ours: it gives back what it gets."""
    value = [helper.make_tensor_value_info(name, TensorProto.UINT8, ["b", 1, 8, 8]) for name in ("crops", "same")]
    graph = helper.make_graph([helper.make_node("Identity", ["crops"], ["same"])], "g", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, metadata)
    onnx.save(model, path)


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "text", "cut", "foreign", "other format", "bad policy"])
def test_what_is_no_network_is_one_line(tmp_path, kind, capfd):
    path = tmp_path / "net.onnx"
    content = {"empty": b"", "text": b"no network", "cut": SHIPPED.read_bytes()[:9000]}
    if kind == "folder":
        path.mkdir()
    elif kind in content:
        path.write_bytes(content[kind])
    elif kind == "foreign":
        tiny_model(path)
    elif kind == "other format":
        tiny_model(path, face68="99")
    elif kind == "bad policy":
        tiny_model(path, face68="1", policy='{"size": "large"}')
    with pytest.raises(InputError) as error:
        OnnxNetwork(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert capfd.readouterr() == ("", ""), "ONNX Runtime's own lines are silenced"


def test_the_network_of_a_command(tmp_path, monkeypatch):
    """The user's own where there is one, exported if that is the same, else the shipped one."""
    best, exported = tmp_path / "best.pt", tmp_path / "best.onnx"
    monkeypatch.setattr(networks, "BEST", best)
    assert networks.default_network() == SHIPPED
    best.write_bytes(PRETRAINED.read_bytes())
    assert networks.default_network() == best
    exported.write_bytes(SHIPPED.read_bytes())
    assert OnnxNetwork(exported).metadata["checkpoint_sha256"] == sha256(best)
    assert networks.default_network() == exported
    best.write_bytes(PRETRAINED.read_bytes() + b"trained since")
    assert networks.default_network() == best
    best.unlink()
    assert networks.default_network() == exported
    exported.write_bytes(b"broken")
    best.write_bytes(PRETRAINED.read_bytes())
    assert networks.default_network() == best


def test_it_predicts_where_torch_cannot_be_imported():
    code = """
import sys
for name in ("torch", "torchvision", "pandas", "matplotlib"):
    sys.modules[name] = None  # an import of it fails
import numpy as np
import face68
faces = face68.Landmarker()(np.zeros((90, 90, 3), np.uint8), boxes=[(20, 20, 70, 70)])
print(faces[0].keypoints.shape)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "(68, 2)\n"), result.stderr
