"""What runs a network: exported files and what is none, the choice of a network, and a process without torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import PRETRAINED, REPOSITORY, SAMPLE, SHIPPED

from benchmarks.hostile import HARMLESS_NETWORKS, NETWORKS, tiny
from cli import weights
from face68.files import InputError, sha256
from face68.landmarker import Landmarker
from face68.network import (
    BATCH,
    FORMAT,
    OnnxDetector,
    OnnxNetwork,
    check_maps,
    check_predictions,
    is_intact,
    sealed,
    shipped_detector,
    shipped_network,
)
from training.checkpoint import TorchNetwork, load_checkpoint, save_checkpoint


def test_many_crops_are_as_each_alone():
    network = OnnxNetwork(SHIPPED)
    crops = np.random.default_rng(0).integers(0, 256, (BATCH + 3, 128, 128), dtype=np.uint8)
    together = network(crops)
    assert together.keypoints.shape == (BATCH + 3, 68, 2) and together.face_scores.shape == (BATCH + 3,)
    for i in (0, BATCH - 1, BATCH, BATCH + 2):
        np.testing.assert_allclose(network(crops[i : i + 1]).keypoints[0], together.keypoints[i], atol=1e-3)


@pytest.mark.parametrize(("size", "crop", "largest"), [("fast", 112, 0.6), ("base", 128, 1.3), ("large", 160, 3.0)])
def test_the_package_ships_a_family(size, crop, largest):
    network = OnnxNetwork(shipped_network(size))
    assert network.policy.size == crop and network.metadata["model"] == size and network.metadata["precision"] == "int8"
    assert network.path.stat().st_size < largest * 1e6
    checkpoint = weights.file_of(size, ".pt")
    assert weights.file_of(size) == network.path and network.metadata["checkpoint_sha256"] == sha256(checkpoint)


def test_a_name_that_is_no_network_lists_those_that_are():
    with pytest.raises(InputError, match="fats: no such network; give fast, base or large, or a file that"):
        weights.file_of("fats")


def test_photos_take_the_large_network_and_a_file_may_have_its_name(tmp_path, monkeypatch):
    assert shipped_network() == shipped_network("large") and shipped_network("base") == SHIPPED
    monkeypatch.chdir(tmp_path)
    Path("large").write_text("mine")
    assert weights.file_of("large") == Path("large")


def quite_sure(path: Path, shipped: Path) -> Path:
    """A shipped network whose scores are all the sigmoid of a number for which ONNX Runtime's own gives 1.0000001."""
    model = onnx.load(shipped)
    nodes = model.graph.node
    i, sigmoid = next((i, node) for i, node in enumerate(nodes) if node.output[0] in ("scores", "face_scores"))
    logit = onnx.helper.make_node("Clip", [sigmoid.input[0], "logit", "logit"], ["clipped"])
    sigmoid.input[0] = "clipped"
    nodes.insert(i, logit)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(17.631031), "logit"))
    del model.metadata_props[-1]  # the checksum
    onnx.save(model, path)
    return path


def test_a_score_that_is_rounded_above_1_is_1(tmp_path, hopper):
    """Of a photo at 330° it refused the whole run; a probability that is wrong by more is refused as before."""
    network = OnnxNetwork(quite_sure(tmp_path / "net.onnx", shipped_network("fast")))
    faces = Landmarker(network).batch([hopper, hopper[:, ::-1]])
    assert [[face.face_score for face in of_image] for of_image in faces] == [[1], [1]]
    pictures = np.zeros((1, 3, 32, 32), np.uint8)
    scores, places = OnnxDetector(quite_sure(tmp_path / "maps.onnx", shipped_detector()))(pictures)
    assert (scores == 1).all()
    outputs = network(np.zeros((1, 112, 112), np.uint8))
    for score, rounded in ((np.nextafter(np.float32(1), 2), 1), (-np.float32(1e-7), 0)):
        (found,) = check_predictions(outputs._replace(face_scores=np.array([score])), 1, "net").face_scores
        assert found == rounded and (check_maps((scores * score, places), pictures.shape, "maps")[0] == rounded).all()
    for score in (np.float32(1.001), np.float32(-0.001), np.float32(np.nan)):
        with pytest.raises(InputError, match=r"says .* where -?\S+ to \S+ can be"):
            check_predictions(outputs._replace(face_scores=np.array([score])), 1, "net")
        with pytest.raises(InputError, match=r"says .* where -?\S+ to \S+ can be"):
            check_maps((scores * score, places), pictures.shape, "maps")


POLICY = '{"size": 8, "margin": 1.2}'
SMALL = (1, 8, 8)


def test_a_file_of_this_form_is_a_network(tmp_path):
    tiny(tmp_path / "net.onnx", shape=SMALL, face68=FORMAT, policy=POLICY)
    outputs = OnnxNetwork(tmp_path / "net.onnx")(np.ones((3, 8, 8), np.uint8))
    assert (outputs.keypoints == np.arange(68)[:, None]).all() and outputs.keypoints.shape == (3, 68, 2)
    assert outputs.errors is None and outputs.face_scores is None


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "text", "cut"])
def test_what_cannot_be_read_is_one_line(tmp_path, kind, capfd):
    path = tmp_path / "net.onnx"
    content = {"empty": b"", "text": b"no network", "cut": SHIPPED.read_bytes()[:9000]}
    if kind == "folder":
        path.mkdir()
    elif kind in content:
        path.write_bytes(content[kind])
    one_line_refusal(path)
    assert capfd.readouterr() == ("", ""), "ONNX Runtime's own lines are silenced"


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_hostile_one_is_one_line(tmp_path, kind, capfd):
    """The attacks of benchmarks/hostile.py."""
    path = tmp_path / "net.onnx"
    NETWORKS[kind](path)
    if kind in HARMLESS_NETWORKS:
        OnnxNetwork(path)
        return
    one_line_refusal(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", [kind for kind in NETWORKS if kind.startswith("external")])
def test_weights_in_another_file_are_not_read(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)  # ONNX Runtime looks for a name without a folder here
    NETWORKS[kind](tmp_path / "net.onnx")
    with pytest.raises(InputError, match="weights in another file"):
        OnnxNetwork(tmp_path / "net.onnx")


@pytest.mark.parametrize("shipped", [shipped_network(), shipped_detector()])
def test_every_flipped_bit_of_a_file_is_found(tmp_path, shipped):
    content = shipped.read_bytes()
    assert is_intact(content) and sealed(content[:-19]) == content
    for place in np.random.default_rng(0).integers(8 * (len(content) - 19), size=20):
        changed = bytearray(content)
        changed[place // 8] ^= 1 << (place % 8)
        assert not is_intact(bytes(changed))
    (tmp_path / "net.onnx").write_bytes(changed)
    with pytest.raises(InputError, match=r"net\.onnx: is damaged"):
        OnnxNetwork(tmp_path / "net.onnx")
    onnx.save(onnx.load(shipped, load_external_data=False), tmp_path / "again.onnx")
    assert is_intact((tmp_path / "again.onnx").read_bytes()), "other tools read it and write it again"


def one_line_refusal(path) -> None:
    with pytest.raises(InputError) as error:
        OnnxNetwork(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_the_network_of_a_command(tmp_path, monkeypatch):
    """The user's own where there is one, exported if that is the same, else the shipped one."""
    best, exported = tmp_path / "best.pt", tmp_path / "best.onnx"
    monkeypatch.setattr(weights, "BEST", best)
    assert weights.default_network() == shipped_network() and weights.default_network("base") == SHIPPED
    best.write_bytes(PRETRAINED.read_bytes())
    assert weights.default_network() == best
    exported.write_bytes(SHIPPED.read_bytes())
    assert OnnxNetwork(exported).metadata["checkpoint_sha256"] == sha256(best)
    assert weights.default_network() == exported
    best.write_bytes(PRETRAINED.read_bytes() + b"trained since")
    assert weights.default_network() == best
    best.unlink()
    assert weights.default_network() == exported
    exported.write_bytes(b"broken")
    best.write_bytes(PRETRAINED.read_bytes())
    assert weights.default_network() == best


@pytest.mark.parametrize(
    ("arguments", "drawn"),
    [
        ({"data": ["data/sample"], "init": None}, True),
        ({"data": [str(SAMPLE)], "init": None}, True),
        ({"data": ["data/sample", "300w"], "init": None}, False),
        ({"data": [str(SAMPLE)], "init": "saved_models/pretrained.pt"}, False),
        ({"data": [], "init": None}, False),
        ({}, False),
        ([], False),
    ],
)
def test_a_network_that_saw_drawn_faces_only_is_of_no_use_on_photos(tmp_path, arguments, drawn):
    model = onnx.load(shipped_network("fast"))
    entries = {entry.key: entry.value for entry in model.metadata_props if entry.key != "crc32"}
    onnx.helper.set_model_props(model, entries | {"arguments": json.dumps(arguments)})
    onnx.save(model, tmp_path / "best.onnx")
    warning = ": trained on the drawn sample, rough on photos" if drawn else ""
    assert weights.network_label(OnnxNetwork(tmp_path / "best.onnx")) == f"{tmp_path / 'best.onnx'}{warning}"
    if isinstance(arguments, dict):
        save_checkpoint(tmp_path / "best.pt", load_checkpoint(PRETRAINED) | {"arguments": arguments})
        assert weights.network_label(TorchNetwork(tmp_path / "best.pt")) == f"{tmp_path / 'best.pt'}{warning}"


def test_a_checkpoint_computes_in_as_many_threads_as_are_asked_for():
    before = torch.get_num_threads()
    try:
        weights.open_network(PRETRAINED, threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


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
