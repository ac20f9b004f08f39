"""An exported network says what its checkpoint says, of faces and of itself; the shipped file is the checkpoint's."""

import json
import logging
import shutil
import warnings

import numpy as np
import onnx
import pytest
import torch
from conftest import DETECTOR, PRETRAINED, REPOSITORY, SAMPLE, SHIPPED

import export
from data_load import open_split
from datasets.browser import is_description
from evaluation.metrics import nme
from export import crops_of
from face68.detect import FaceDetector
from face68.files import InputError, sha256
from face68.landmarks import FLIP
from face68.network import OnnxDetector, OnnxNetwork, shipped_detector
from models import MODELS, create_model
from training import onnx_export
from training.checkpoint import TorchDetector, TorchNetwork, load_checkpoint, save_checkpoint


@pytest.fixture(scope="module")
def faces():
    """Drawn faces as the network sees them, and their points."""
    return crops_of(open_split(SAMPLE, "test"), 20, TorchNetwork(PRETRAINED).policy)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "fp32.onnx"
    onnx_export.export_network(PRETRAINED, path, "mine")
    return OnnxNetwork(path)


def test_it_says_what_the_checkpoint_says_of_any_number_of_faces(exported, faces):
    crops, _ = faces
    for count in (1, 3, len(crops)):
        of_file, of_checkpoint = exported(crops[:count]), TorchNetwork(PRETRAINED)(crops[:count])
        for one, other in zip(of_file, of_checkpoint, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                np.testing.assert_allclose(one, other, atol=1e-3, rtol=5e-4)


def test_it_says_of_itself_what_the_checkpoint_says(exported):
    said, checkpoint = exported.metadata, load_checkpoint(PRETRAINED)
    for key in ("options", "policy", "arguments", "versions", "epoch", "metrics"):
        assert json.loads(said[key]) == checkpoint[key], key
    assert said["checkpoint_sha256"] == sha256(PRETRAINED) and said["licence"] == "mine"
    assert said["model"] == "base" and said["precision"] == "fp32" and said["color"] == "gray"
    assert json.loads(said["flip"]) == FLIP.tolist() and json.loads(said["landmarks"])[36] == "eyes_36"
    assert (exported.policy.size, exported.policy.margin) == (128, 1.2)
    model = onnx.load(exported.path, load_external_data=False)
    assert [entry.version for entry in model.opset_import if not entry.domain] == [onnx_export.OPSET]
    assert not list(exported.path.parent.glob("*.data"))


def test_shipped_networks_go_by_their_names_and_are_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fast.onnx").write_text("mine")
    for line, said in {
        "fast": r"^fast\.onnx: is there and not this program's",
        "base --data nowhere": "^nowhere: holds neither",
        "fats": "^fats: no such network; give fast, base or large",
        "nowhere.pt": r"^nowhere\.pt: no such",
    }.items():
        monkeypatch.setattr("sys.argv", ["export.py", "--checkpoint", *line.split()])
        with pytest.raises(InputError, match=said):
            export.main()


def test_it_says_nothing_of_the_machine_that_made_it(exported):
    for path in (exported.path, SHIPPED):
        content = path.read_bytes()
        assert (
            b"stack_trace" not in content and b"models.py" not in content and str(REPOSITORY).encode() not in content
        ), path


def test_a_network_that_gives_keypoints_alone(tmp_path):
    torch.manual_seed(0)
    model = create_model("net")
    of_net = {"model": "net", "weights": model.state_dict(), "policy": {"size": 224, "margin": 1.2}, "annotators": []}
    save_checkpoint(tmp_path / "net.pt", load_checkpoint(PRETRAINED) | of_net)
    onnx_export.export_network(tmp_path / "net.pt", tmp_path / "net.onnx")
    crops = np.random.default_rng(0).integers(0, 256, (2, 224, 224), dtype=np.uint8)
    said = OnnxNetwork(tmp_path / "net.onnx")(crops)
    np.testing.assert_allclose(said.keypoints, TorchNetwork(tmp_path / "net.pt")(crops).keypoints, atol=1e-3)
    assert said.errors is None and said.face_scores is None


def test_the_shipped_file_is_the_shipped_checkpoints(faces):
    """8 bits move points by a tenth of a pixel of the crop, its size is a quarter."""
    shipped, crops = OnnxNetwork(SHIPPED), faces[0]
    assert shipped.metadata["checkpoint_sha256"] == sha256(PRETRAINED)
    assert shipped.metadata["precision"] == "int8" and "research" in shipped.metadata["licence"]
    assert SHIPPED.stat().st_size < 0.3 * PRETRAINED.stat().st_size
    one, other = shipped(crops), TorchNetwork(PRETRAINED)(crops)
    off = np.linalg.norm(one.keypoints - other.keypoints, axis=-1)
    assert np.median(off) < 0.2 and off.max() < 3
    np.testing.assert_allclose(one.face_scores, other.face_scores, atol=0.1)
    assert np.median(np.abs(one.errors / other.errors - 1)) < 0.1


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run `export.py --int8` in this process, on few faces; returns what it printed."""

    def export_int8(checkpoint) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(export, "CALIBRATION", 24)
        monkeypatch.setattr(export, "COMPARED", 24)
        line = ["export.py", "--checkpoint", checkpoint, "--output", "small.onnx", "--int8", "--data", SAMPLE]
        monkeypatch.setattr("sys.argv", list(map(str, line)))
        export.main()
        output, errors = capsys.readouterr()
        assert errors == ""
        return output

    return export_int8


def test_the_command_quantizes_compares_and_tells_how_to_use_it(run, tmp_path):
    output = run("fast")
    assert " faces the fp32 file is at most" in output and "in int8" in output
    assert "python predict.py --checkpoint small.onnx" in output and "Landmarker" in output
    assert OnnxNetwork(tmp_path / "small.onnx").metadata["precision"] == "int8"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.json", "small.onnx"]
    assert is_description(tmp_path / "small.json") and not is_description(tmp_path / "small.onnx")


class Moved:
    """A network whose points are off by (x, y) px."""

    def __init__(self, network, by):
        self.network, self.path, self.by = network, network.path, np.float32(by)
        self.scheme = network.scheme

    def __call__(self, crops):
        said = self.network(crops)
        return said._replace(keypoints=said.keypoints + self.by)


def test_what_differs_too_much_is_refused(exported, faces):
    crops, _ = faces
    test = open_split(SAMPLE, "test")
    samples, (_, points) = export.samples_of_faces(test, test, exported.policy), crops_of(test, 256, exported.policy)
    with pytest.raises(InputError, match="nothing was written"):
        onnx_export.check_parity(Moved(exported, [0.06, 0]), exported, crops)
    with pytest.raises(InputError, match="nothing was written"):
        onnx_export.check_parity(Moved(exported, [np.nan, 0]), exported, crops)
    assert onnx_export.check_parity(Moved(exported, [0.01, 0]), exported, crops) == pytest.approx(0.01, abs=1e-3)
    with pytest.raises(InputError, match="nothing was written"):
        export.check_cost("--int8", Moved(exported, [9, 9]), exported, samples)
    before, after = export.check_cost("--int8", exported, exported, samples)
    assert before == after == pytest.approx(nme(exported(samples.compared).keypoints, points).mean())


class Linear(torch.nn.Module):
    """A network without a convolution."""

    input_size = 8

    def __init__(self):
        super().__init__()
        self.points = torch.nn.Linear(64, 136)

    def forward(self, images):
        return self.points(images.flatten(1))


class OfTheContent(Linear):
    """Its computation depends on what the crops show: no graph can say that."""

    def forward(self, images):
        return super().forward(images) * (2 if images.mean() > 0.5 else 1)


class OtherWhenExported(Linear):
    """What faults of an exporter come to."""

    def forward(self, images):
        return super().forward(images) + float(torch.compiler.is_exporting())


@pytest.fixture
def checkpoint_of(tmp_path, monkeypatch):
    """Write the checkpoint of a network of a user's own."""

    def write(network):
        monkeypatch.setitem(MODELS, "own", network)
        own = {"model": "own", "weights": network().state_dict(), "policy": {"size": 8, "margin": 1.2}}
        save_checkpoint(tmp_path / "own.pt", load_checkpoint(PRETRAINED) | own | {"annotators": []})
        return tmp_path / "own.pt"

    return write


@pytest.mark.parametrize("network", [OfTheContent, OtherWhenExported])
def test_a_network_that_export_fails_on_is_one_line(checkpoint_of, network, tmp_path, capfd):
    path = checkpoint_of(network)
    with pytest.raises(InputError, match=r"can't export|px off") as error:
        onnx_export.export_network(path, tmp_path / "own.onnx")
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["own.pt"]
    assert capfd.readouterr() == ("", "")


def test_fewer_bits_are_for_convolutions(checkpoint_of, tmp_path):
    onnx_export.export_network(checkpoint_of(Linear), tmp_path / "own.onnx")
    with pytest.raises(InputError, match="convolutions"):
        onnx_export.quantize(tmp_path / "own.onnx", tmp_path / "small.onnx", np.zeros((2, 8, 8), np.uint8))
    with pytest.raises(InputError, match="convolutions"):
        onnx_export.halve(tmp_path / "own.onnx", tmp_path / "small.onnx")
    assert not (tmp_path / "small.onnx").exists()


def test_half_precision_says_the_same_in_half_of_the_size(exported, of_detector, faces, hopper, tmp_path):
    onnx_export.halve(exported.path, tmp_path / "half.onnx")
    half, crops = OnnxNetwork(tmp_path / "half.onnx"), faces[0]
    np.testing.assert_allclose(half(crops).keypoints, exported(crops).keypoints, atol=0.15)  # px of the crop
    assert np.abs(half(crops).keypoints - exported(crops).keypoints).mean() < 0.03
    np.testing.assert_allclose(half(crops).face_scores, exported(crops).face_scores, atol=0.01)
    assert half.path.stat().st_size < 0.56 * exported.path.stat().st_size
    assert half.metadata["precision"] == "fp16" and half.metadata["model"] == "base"
    onnx_export.halve(of_detector.path, tmp_path / "detector.onnx")
    small, large = (FaceDetector(path) for path in (tmp_path / "detector.onnx", of_detector.path))
    picture, _ = large.picture_of(hopper, 192)
    one, other = small.search(picture), large.search(picture)
    np.testing.assert_allclose(one.centers[0], other.centers[0], atol=0.3)
    assert one.sides[0] == pytest.approx(other.sides[0], rel=0.01)
    assert one.scores[0] == pytest.approx(other.scores[0], abs=0.01)


def test_exporting_leaves_warnings_and_logs_as_they_were(checkpoint_of, tmp_path, monkeypatch):
    monkeypatch.setattr(logging.root.manager, "disable", logging.INFO)
    before = list(warnings.filters)
    onnx_export.export_network(checkpoint_of(Linear), tmp_path / "a.onnx")
    assert logging.root.manager.disable == logging.INFO and warnings.filters == before


def test_missing_packages_are_one_line(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(InputError, match="pip install onnx onnxscript"):
        onnx_export.export_network(PRETRAINED, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def of_detector(tmp_path_factory):
    """The shipped detector's checkpoint as an fp32 file."""
    path = tmp_path_factory.mktemp("detector") / "fp32.onnx"
    onnx_export.export_network(DETECTOR, path, "mine")
    return OnnxDetector(path)


def test_a_detectors_file_says_what_its_checkpoint_says_of_pictures_of_any_size(of_detector):
    random, network = np.random.default_rng(0), TorchDetector(DETECTOR)
    for shape in ((1, 3, 32, 32), (3, 3, 96, 160), (1, 3, 192, 128)):
        pictures = random.integers(0, 256, shape, dtype=np.uint8)
        for of_file, of_checkpoint in zip(of_detector(pictures), network(pictures), strict=True):
            assert of_file.shape[-2:] == (shape[2] // 8, shape[3] // 8)
            np.testing.assert_allclose(of_file, of_checkpoint, atol=5e-3)
    said = of_detector.metadata
    assert said["model"] == "detector" and said["color"] == "RGB" and said["licence"] == "mine"
    assert "policy" not in said and said["checkpoint_sha256"] == sha256(DETECTOR)


def test_the_shipped_detector_is_its_checkpoints(of_detector, hopper):
    """8 bits see the same faces, in a file of at most 400 KB."""
    shipped = FaceDetector(shipped_detector())
    assert shipped.network.metadata["precision"] == "int8"
    assert shipped.network.metadata["checkpoint_sha256"] == sha256(DETECTOR)
    assert shipped_detector().stat().st_size <= 400_000 and b"models.py" not in shipped_detector().read_bytes()
    picture, _ = shipped.picture_of(hopper, 192)
    one = shipped.search(picture)
    shipped.network = of_detector
    other = shipped.search(picture)
    np.testing.assert_allclose(one.centers[0], other.centers[0], atol=2)
    assert one.sides[0] == pytest.approx(other.sides[0], rel=0.06) and one.scores[0] == pytest.approx(
        other.scores[0], abs=0.1
    )


def test_kinds_are_not_taken_for_each_other(of_detector, tmp_path):
    with pytest.raises(InputError, match="places no keypoints"):
        OnnxNetwork(of_detector.path)
    with pytest.raises(InputError, match="finds no faces"):
        OnnxDetector(SHIPPED)
    with pytest.raises(InputError, match="places no keypoints"):
        TorchNetwork(DETECTOR)
    with pytest.raises(InputError, match="finds no faces"):
        TorchDetector(PRETRAINED)


def test_the_command_quantizes_a_detector(run, of_detector, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "export_network", lambda _, path, *__: shutil.copy(of_detector.path, path))
    monkeypatch.setattr(export, "LOSS", 0.05)  # drawn faces are not what it learned
    output = run(DETECTOR)
    assert "mosaics the fp32 file is at most" in output and "1 - AP is" in output
    assert "python predict.py --detector small.onnx" in output and "Landmarker" not in output
    assert OnnxDetector(tmp_path / "small.onnx").metadata["precision"] == "int8"
