"""What the tests share: the commands as a user runs them, small data sets, and the real ones where they are."""

import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

# Several processes of tests share the cores: threads of each would wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from cli.launch import SIGNALS

import cv2
import pytest
import torch
from hypothesis import settings
from PIL import Image, ImageDraw

import predict
import train
from benchmarks.material import small_set
from face68.images import read_image
from face68.inputs import demonstration_photo
from face68.landmarker import Landmarker
from face68.program import run_program as run_command
from training.run import open_tensorboard
from training.state import Training

REPOSITORY = Path(__file__).resolve().parent.parent
SAMPLE = REPOSITORY / "data" / "sample"
PRETRAINED = REPOSITORY / "saved_models" / "pretrained.pt"
DETECTOR = REPOSITORY / "saved_models" / "detector.pt"
SHIPPED = REPOSITORY / "saved_models" / "pretrained.onnx"
# Real data, where it is: $REAL_DATA is the public set's folder, or one that holds it as `dataset/` beside others.
SHARED = Path(os.environ.get("REAL_DATA", REPOSITORY.parent / "shared")).resolve()
PUBLIC_SET = SHARED / "dataset" if (SHARED / "dataset").is_dir() else SHARED

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 2)))
# An example may take long on a busy machine; what is slow by itself shows in the whole run's time.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory):
    """No test, nor a command that it runs, reads or writes the user's own cache."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def command(tmp_path):
    """Run `python SCRIPT …` in an empty folder and return its status, stdout and stderr."""

    def run(script: str, *arguments, timeout: float = 600) -> subprocess.CompletedProcess:
        line = [sys.executable, str(REPOSITORY / script), *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, timeout=timeout, cwd=tmp_path)

    return run


@pytest.fixture
def in_process(tmp_path, monkeypatch, capsys):
    """Run a command's `main` in an empty folder as the command does, but in this process: its imports are done."""

    def run(main, *arguments):
        monkeypatch.setattr(sys, "argv", [f"{main.__module__}.py", *map(str, arguments)])
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # which a command sets
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as exit_:
            run_command(main)
        output, errors = capsys.readouterr()
        return SimpleNamespace(returncode=exit_.value.code or 0, stdout=output, stderr=errors)

    return run


@pytest.fixture
def call(in_process):
    """predict.py in this process."""

    def run(*arguments, detector="auto"):
        return in_process(predict.main, "--checkpoint", SHIPPED, "--detector", detector, *arguments)

    return run


@pytest.fixture(scope="session")
def hopper():
    """The photograph that comes with matplotlib, (600, 512, 3) uint8 RGB."""
    return read_image(demonstration_photo())


@pytest.fixture(scope="module")
def landmarker():
    return Landmarker(SHIPPED)


@pytest.fixture
def photos(tmp_path):
    """A folder of six drawn faces, as whole frames: "photos/0.jpg" … "photos/5.jpg"."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, path in enumerate(sorted((SAMPLE / "test").glob("*.jpg"))[:6]):
        (folder / f"{i}.jpg").write_bytes(path.read_bytes())
    return folder


@pytest.fixture
def tiny(tmp_path):
    """A copy of a part of the sample: 12 images of 12 training people, in the public layout."""
    return small_set(tmp_path / "tiny")


@pytest.fixture
def settings(monkeypatch, tiny):
    """The settings of a line of train.py, with `tiny` as the data."""

    def parse(*arguments):
        monkeypatch.setattr(sys, "argv", list(map(str, ["train.py", "--data", tiny, *arguments])))
        return train.parse_arguments()

    return parse


@pytest.fixture
def trained():
    """Train by settings, as train.py does but in this process and without its last pictures: a `Training`."""

    def run(settings):
        task = train.task_of(settings)
        train_data, val_data = task.load()
        model = train.create_untrained(settings, torch.device("cpu"), task.annotators, **task.options)
        training = Training(model, task, settings, train_data, torch.device("cpu"))
        if settings.tensorboard is not None:
            training.log = open_tensorboard(settings.tensorboard, 0)
        handler = signal.getsignal(signal.SIGINT)  # which training takes over
        try:
            train.train(training, train_data, val_data)
        finally:
            signal.signal(signal.SIGINT, handler)
        return training

    return run


@pytest.fixture
def train_here(monkeypatch, capsys):
    """Run train.py in this process: its exit status, stdout and stderr. Raises what it raises: InputError, SystemExit.

    pictures, export: whether it ends with its last pictures and with best.onnx, which take seconds.
    """
    draw, write = train.draw_results, train.export_best

    def run(*arguments, pictures: bool = False, export: bool = False) -> SimpleNamespace:
        monkeypatch.setattr(train, "draw_results", draw if pictures else lambda *_: None)
        monkeypatch.setattr(train, "export_best", write if export else lambda *_: None)
        monkeypatch.setattr(sys, "argv", list(map(str, ["train.py", *arguments])))
        capsys.readouterr()
        signals = [*SIGNALS, *([signal.SIGCHLD] if hasattr(signal, "SIGCHLD") else [])]  # which Windows hasn't
        handlers = {number: signal.getsignal(number) for number in signals}
        try:
            status = train.main()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        output, errors = capsys.readouterr()
        return SimpleNamespace(status=status, stdout=output, stderr=errors)

    return run


@pytest.fixture(scope="session")
def real_data(tmp_path_factory):
    """The first 40 rows of both splits of the public set, where it is (see above); else the test is skipped."""
    if not (PUBLIC_SET / "test_frames_keypoints.csv").is_file():
        pytest.skip("the real data set is not here")
    root = tmp_path_factory.mktemp("real")
    for split in ("training", "test"):
        (root / split).mkdir()
        csv_name = f"{split}_frames_keypoints.csv"
        lines = (PUBLIC_SET / csv_name).read_text().splitlines()[:41]
        (root / csv_name).write_text("\n".join(lines) + "\n")
        for name in (line.split(",")[0] for line in lines[1:]):
            copy_as_published(PUBLIC_SET / split / name, root / split / name)
    return root


def copy_as_published(source: Path, destination: Path) -> None:
    """An image of the public set: an RGBA PNG under .jpg; where it lies as WebP, without loss, it is made one."""
    if source.is_file():
        shutil.copy(source, destination)
        return
    bgr = cv2.imread(str(source.with_suffix(".webp")))
    _, png = cv2.imencode(".png", cv2.cvtColor(bgr, cv2.COLOR_BGR2BGRA))
    destination.write_bytes(png.tobytes())


def encoded(image: Image.Image, file_format: str, **options) -> bytes:
    """The content of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


class Terminal(io.StringIO):
    """In place of stderr."""

    def isatty(self) -> bool:
        return True


def digests(folder: Path) -> dict[Path, str]:
    """The SHA-256 of every file in a folder and its folders: equal before and after, nothing has changed."""
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def one_line_error(result: subprocess.CompletedProcess) -> str:
    """The error line of a command that refused its input: exit status 2, one line, no traceback."""
    assert result.returncode == 2, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.fixture
def written(monkeypatch):
    """The texts that are written on pictures from now on, as the arguments of Pillow's `text`; for `ink_boxes`."""
    texts, write = [], ImageDraw.ImageDraw.text

    def text(self, xy, text, fill, font, **options):
        texts.append((xy, text, font, options))
        return write(self, xy, text, fill, font, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return texts


def ink_boxes(written: list) -> list[tuple[str, tuple]]:
    """Each text with the box (x0, y0, x1, y1) px of its letters, without the rim."""
    boxes = []
    for (x, y), text, font, options in written:
        x0, y0, x1, y1 = font.getbbox(text, anchor=options["anchor"])
        boxes.append((text, (x + x0, y + y0, x + x1, y + y1)))
    return boxes
