"""Attack the commands for minutes: kills, damaged and hostile files, full disks. Counts what came of it.

    python -m benchmarks.stress                                          # every attack for a minute
    python -m benchmarks.stress kills checkpoints --seconds 300 --seed 1
    python -m benchmarks.stress labels --seed 1 --first 17 --cases 1     # one case again, which is kept in --folder
    python -m benchmarks.stress --long-runs --seconds 600                # memory, files and threads, early and late

What may come of a case: the work is done and right ("done …"), or refused ("named": exit status 2 and one line that
names the file). Everything else is a fault: a traceback, a hang, more than 2 GB of memory, a line that names something
else, files lost or left behind, results that a damaged file made wrong. The exit status is 1 where there was one.

To add an attack: a function that takes a case's random generator (numpy) and an empty folder and yields a line for
each thing that came of it, those of faults beginning with FAULT; and its name in ATTACKS. Hostile files and values are
in hostile.py. POSIX systems only.
"""

import cli.launch as launch

import argparse
import contextlib
import functools
import importlib
import io
import os
import re
import resource
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, features

from benchmarks import hostile
from benchmarks.harness import FAULT, Outcome, kill, run, start, wait
from benchmarks.material import choose, damaged, photo, serving, small_set
from datasets import public_set
from datasets.labels import read_csv, write_csv
from datasets.layout import DATA_DIR, SAMPLE_DIR
from face68 import formats
from face68.files import InputError
from face68.landmarks import Face
from face68.network import shipped_detector, shipped_network
from training.checkpoint import load_checkpoint

PRETRAINED = shipped_network("base").with_suffix(".pt")
QUICK = ("--batch-size", "4", "--workers", "0", "--device", "cpu")
scratch = Path(tempfile.gettempdir())  # where `main` lets it all happen
Outcomes = Iterator[str]


def named_if_fault(outcome: str, *facts: object) -> str:
    """An outcome, and with a fault what it takes to understand it."""
    return outcome + f" ({', '.join(map(str, facts))})" * outcome.startswith(FAULT)


# --- Trainings: killed, two at once, without room, resumed from damaged states ------------------------------------

RECIPES = {  # Net has dropout, whose random numbers must go on too
    "net": ("--model", "net", "--epochs", "3"),
    "heatmap": ("--model", "heatmap", "--epochs", "3", "--optimizer", "muon", "--lr", "4e-3"),
    "detector": ("--model", "detector", "--epochs", "2", "--optimizer", "sgd"),
}


def train(folder: Path, recipe: str, *more, exports: bool = False, **options) -> int:
    """Begin or resume a training of "set" into "run"; its pid. exports: it ends with best.onnx, which takes longer."""
    resume = ("--resume",) if (folder / "run" / "last.pt").exists() else ()
    line = (*RECIPES[recipe], *QUICK, "--data", "set", "--output-dir", "run", *resume, *more)
    return start(folder, "train", *line, without="" if exports else "onnxscript", **options)


@functools.cache
def unbroken(recipe: str) -> tuple[Path, float]:
    """The folder of a training that nobody disturbed, with its data, and the seconds it took."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    small_set(folder / "set")
    outcome = wait(train(folder, recipe), folder)
    assert outcome.status == 0, outcome.stderr
    return folder, outcome.seconds


def prepared(random: np.random.Generator, folder: Path) -> str:
    """A recipe for the one set, which is copied into the folder."""
    recipe = ("net", "heatmap")[random.integers(2)]
    shutil.copytree(unbroken(recipe)[0] / "set", folder / "set")
    return recipe


@functools.cache
def interrupted(recipe: str) -> Path:
    """The run of a training that was interrupted in its third epoch."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    shutil.copytree(unbroken(recipe)[0] / "set", folder / "set")
    pid = train(folder, recipe)
    while "epoch   2" not in (folder / "stdout.txt").read_text():
        time.sleep(0.002)
    kill(pid, signal.SIGINT)
    assert wait(pid, folder).status == 130
    return folder / "run"


def has_right_weights(recipe: str, run_folder: Path) -> bool:
    """Whether a run ended with the weights of the unbroken one, both those to use and those to go on from."""
    a, b = (load_checkpoint(path / "last.pt") for path in (unbroken(recipe)[0] / "run", run_folder))
    pairs = [(a["weights"], b["weights"]), (a["training"]["model"], b["training"]["model"])]
    return all(x.keys() == y.keys() and all(torch.equal(x[name], y[name]) for name in x) for x, y in pairs)


def ended(recipe: str, run_folder: Path) -> str:
    """ "done", or the fault of a run that ended: other weights, or hidden files left behind."""
    if not has_right_weights(recipe, run_folder):
        return f"{FAULT}: ends with other weights"
    left = [path.name for path in run_folder.rglob(".*") if path.is_file()]
    return f"{FAULT}: left behind {', '.join(left)[:80]}" if left else "done"


def resumed(recipe: str, folder: Path) -> str:
    """Let a stopped training come to its end; "done", or a fault."""
    outcome = wait(train(folder, recipe), folder)
    if outcome.status != 0:
        return f"{FAULT}: doesn't go on, {outcome.judged('run')}"
    return ended(recipe, folder / "run")


def kills(random: np.random.Generator, folder: Path) -> Outcomes:
    """A training is killed at any time, often several times: resumed, it ends with the weights of an unbroken one."""
    recipe = str(random.choice(list(RECIPES), p=[0.45, 0.45, 0.1]))
    unbroken_folder, seconds = unbroken(recipe)
    shutil.copytree(unbroken_folder / "set", folder / "set")
    for _ in range(int(random.integers(1, 5))):
        workers, exports = (("--workers", "2") if random.random() < 0.3 else ()), bool(random.random() < 0.1)
        pid = train(folder, recipe, *workers, exports=exports)
        time.sleep(random.uniform(0, seconds * (3 if exports else 1)))
        sign = signal.Signals(random.choice((signal.SIGKILL, signal.SIGINT, signal.SIGTERM), p=[0.6, 0.2, 0.2]))
        kill(pid, sign)
        outcome = wait(pid, folder)
        if outcome.status not in (-sign, 0, 130) or "Traceback" in outcome.stderr:
            yield f"{FAULT}: {outcome.judged('run')} after {sign.name}"
        try:
            for path in (folder / "run").glob("*.pt"):
                load_checkpoint(path)
        except Exception as error:
            yield f"{FAULT}: after {sign.name} {error}"
        yield f"killed by {sign.name}"
    yield resumed(recipe, folder)


def together(random: np.random.Generator, folder: Path) -> Outcomes:
    """Two trainings into one folder: one of them is refused, the other ends as if alone."""
    recipe = prepared(random, folder)
    shutil.copytree(folder, folder / "other")
    first = train(folder, recipe)
    time.sleep(random.choice([0, random.uniform(0, 0.6 * unbroken(recipe)[1])]))
    second = train(folder / "other", recipe, "--output-dir", folder / "run")
    outcomes = [wait(first, folder), wait(second, folder / "other")]
    if sorted(str(outcome.status) for outcome in outcomes) != ["0", "2"]:
        yield f"{FAULT}: both train, statuses {[outcome.status for outcome in outcomes]}"
        return
    fate = ended(recipe, folder / "run")
    yield fate if fate != "done" else max(outcomes, key=lambda outcome: outcome.status).judged("run")


def full_disk(random: np.random.Generator, folder: Path) -> Outcomes:
    """A training that may write no files above a size, as if the disk were full: what was there before is whole, and
    with more room it goes on to the weights of an unbroken one.
    """
    recipe, limits = prepared(random, folder), {resource.RLIMIT_FSIZE: int(2 ** random.uniform(12, 26.5))}
    line = ("--cache-dir", "images")
    yield wait(train(folder, recipe, *line, limits=limits, exports=random.random() < 0.2), folder).judged("run/")
    yield "with more room: " + resumed(recipe, folder)


def states(random: np.random.Generator, folder: Path) -> Outcomes:
    """Damaged and senseless states of trainings, at --resume."""
    recipe = prepared(random, folder)
    shutil.copytree(interrupted(recipe), folder / "run")
    name, change = choose(random, hostile.STATES)
    last = folder / "run" / "last.pt"
    if random.random() < 0.2:
        name = "damaged"
        last.write_bytes(damaged(random, last.read_bytes()))
    else:
        change(last, load_checkpoint(last))
    overwrite = ("--overwrite",) if random.random() < 0.5 else ()
    outcome = wait(train(folder, recipe, *overwrite), folder)
    may_be_done = name in {"damaged"} | hostile.HARMLESS_STATES
    fate = outcome.judged("run/last.pt", "run/history.csv", "run/best.pt", done=may_be_done)
    if fate == "done" and not has_right_weights(recipe, folder / "run"):
        fate = f"{FAULT}: goes on to other weights"
    if fate == "named" and "not this program's" in outcome.stderr and "history" not in outcome.stderr:
        fate = f"{FAULT}: misleads, {outcome.stderr.strip()[:150]}"
    yield named_if_fault(fate, recipe, name, *overwrite)


# --- Networks: checkpoints and exported ones ----------------------------------------------------------------------


def use(folder: Path, command: str, path: Path, option: str = "--checkpoint") -> Outcome:
    """Run a command with a network, or a detector, from this file."""
    line = {
        "predict": ("--image", photo(), "--no-pictures", "--json", "out.json"),
        "evaluate": ("--data", SAMPLE_DIR, "--output-dir", "out"),
        "export": ("--data", "set", "--output", "out.onnx"),
    }[command]
    if command == "export":
        small_set(folder / "set")
    whole_frame = ("--detector", "none") if command == "predict" and option == "--checkpoint" else ()
    return run(folder, command, option, path, *line, *whole_frame)


@functools.cache
def answer_of(path: Path, option: str) -> str:
    """What predict.py writes with the undamaged file."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    outcome = use(folder, "predict", path, option)
    assert outcome.status == 0, outcome.stderr
    return (folder / "out.json").read_text()


def harm(random: np.random.Generator, folder: Path, original: Path, option: str = "--checkpoint") -> str:
    """A damaged file is named, or, where the damage is in nothing that counts, answers as the undamaged one."""
    path = folder / f"x{original.suffix}"
    path.write_bytes(damaged(random, original.read_bytes()))
    right = answer_of(original, option)
    fate = use(folder, "predict", path, option).judged(path.name)
    return f"{FAULT}: other points" if fate == "done" and (folder / "out.json").read_text() != right else fate


def checkpoints(random: np.random.Generator, folder: Path) -> Outcomes:
    """Damaged checkpoints, and hostile ones."""
    if random.random() < 0.4:
        yield "damaged: " + harm(random, folder, PRETRAINED)
        return
    name, build = choose(random, hostile.HOSTILE)
    build(folder / "x.pt", load_checkpoint(PRETRAINED))
    command = ("predict", "predict", "evaluate", "export")[random.integers(4)]
    fate = use(folder, command, folder / "x.pt").judged("x.pt", done=name in hostile.HARMLESS[command])
    yield "hostile: " + named_if_fault(f"{FAULT}: ran code" if (folder / "ran").exists() else fate, command, name)


def networks(random: np.random.Generator, folder: Path) -> Outcomes:
    """Damaged .onnx files, as the network and as the detector, and hostile ones."""
    kind = random.random()
    if kind < 0.4:
        yield "damaged: " + harm(random, folder, shipped_network("base"))
    elif kind < 0.6:
        yield "damaged detector: " + harm(random, folder, shipped_detector(), "--detector")
    else:
        name, build = choose(random, hostile.NETWORKS)
        build(folder / "x.onnx")
        fate = use(folder, "predict", folder / "x.onnx").judged("x.onnx", done=name in hostile.HARMLESS_NETWORKS)
        yield "hostile: " + named_if_fault(fate, name)


# --- Labels and results -------------------------------------------------------------------------------------------

FILES_A_CASE = 500
POINTS = np.linspace(-3, 400, 136, dtype=np.float32).reshape(68, 2)
PLAIN = Face((0.0, 0.0, 100.0, 100.0), None, POINTS)
WHOLE = Face((1.0, 1.0, 101.0, 101.0), 0.9, POINTS, np.ones(68, np.float32), 0.8, 2, {"yaw": 1.0, "roll": None})
RESULTS = [
    formats.ImageResult("a.jpg", 200, 100, [PLAIN, WHOLE]),
    formats.ImageResult("b.mp4", 200, 100, [PLAIN], frame=3, time=0.1),
    formats.ImageResult("c.jpg", 200, 100, []),
]
READERS = {  # of each format what reads and what writes it, and something to write
    "csv": (read_csv, lambda path, rows: write_csv(path, *rows), (["a.jpg", "b.jpg"], [POINTS] * 2)),
    "pts": (formats.read_pts, formats.write_pts, POINTS),
    "json": (formats.read_json, formats.write_json, RESULTS),
    "jsonl": (formats.read_jsonl, formats.write_jsonl, RESULTS),
    "faces csv": (formats.read_faces_csv, formats.write_faces_csv, RESULTS),
    "coco": (formats.read_coco, formats.write_coco, RESULTS),
}


def read_damaged(random: np.random.Generator, path: Path, name: str) -> None:
    """Read damaged files of a format: each is named in one line, or read; written then, it reads and writes the same.

    Raises:
        AssertionError: a file was neither; or whatever the reader raised.
    """
    read, write, good = READERS[name]
    write(path, good)
    content = path.read_bytes()
    for _ in range(FILES_A_CASE):
        path.write_bytes(damaged(random, content))
        try:
            write(path, read(path))
        except InputError as error:
            assert str(path) in str(error) and "\n" not in str(error), f"a line that helps nobody: {error}"
            continue
        first = path.read_bytes()
        write(path, read(path))
        assert path.read_bytes() == first, "written and read again it is another"


def readers(random: np.random.Generator, folder: Path) -> Outcomes:
    """Damaged files of labels and results before what reads them, hundreds to a case."""
    name, _ = choose(random, READERS)
    yield named_if_fault(run(folder, functools.partial(read_damaged, random, folder / "file", name)).judged(), name)


def labels(random: np.random.Generator, folder: Path) -> Outcomes:
    """A damaged CSV or .pts file: named, or trained on to a finite error."""
    pts = bool(random.random() < 0.4)
    root = small_set(folder / "set", pts=pts)
    victim = sorted((root / "training").glob("*.pts"))[random.integers(12)] if pts else next(root.glob("*.csv"))
    victim.write_bytes(damaged(random, victim.read_bytes()))
    model = str(random.choice(("net", "heatmap", "detector"), p=[0.5, 0.4, 0.1]))
    outcome = run(folder, "train", "--data", "set", "--model", model, "--dry-run", *QUICK)
    fate = outcome.judged(victim.name, "set/")
    if fate == "done" and re.search(r"\b(nan|inf)\b", outcome.stdout):
        fate = f"{FAULT}: an error that isn't finite"
    yield f"{victim.suffix[1:]}: {fate}"


# --- Photos and films ---------------------------------------------------------------------------------------------

PHOTOS_A_RUN = 50


@functools.cache
def encodings() -> dict[str, bytes]:
    """A drawn face in every format and kind that is read, by file name."""
    face = Image.open(photo()).convert("RGB").resize((160, 160))
    exif, rgba = Image.Exif(), face.copy()
    exif[0x0112] = 6
    rgba.putalpha(face.convert("L"))
    gray16 = Image.fromarray(np.asarray(face.convert("L")).astype(np.uint16) * 257)
    frames = {"save_all": True, "append_images": [face.rotate(9), face.rotate(18)]}
    kinds = {  # by file name the picture and the options of Pillow's `save`
        **{f"plain.{ending}": (face, {}) for ending in ("jpg", "png", "gif", "webp", "bmp", "ppm", "jp2", "avif")},
        "progressive.jpg": (face, {"progressive": True}),
        "turned.jpg": (face, {"exif": exif}),
        "cmyk.jpg": (face.convert("CMYK"), {}),
        "alpha.png": (rgba, {}),
        "palette.png": (face.quantize(64), {"transparency": 0}),
        "gray16.png": (gray16, {}),
        "film.gif": (face, frames),
        "lossless.webp": (rgba, {"lossless": True}),
        "raw.tif": (gray16, {}),
        "fax.tif": (face.convert("1"), {"compression": "group4"}),
        **{f"{name}.tif": (face, {"compression": name}) for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg")},
    }
    if not features.check("avif"):
        del kinds["plain.avif"]
    contents = {}
    for name, (image, options) in kinds.items():
        buffer = io.BytesIO()
        image.save(buffer, Image.registered_extensions()[Path(name).suffix], **options)
        contents[name] = buffer.getvalue()
    return contents


def photos(random: np.random.Generator, folder: Path) -> Outcomes:
    """A folder of damaged photos before predict.py: each photo is done or named, or its run's fault."""
    (folder / "photos").mkdir()
    for i in range(PHOTOS_A_RUN):
        name, content = choose(random, encodings())
        (folder / "photos" / f"{i}_{name}").write_bytes(damaged(random, content))
    pictures = ("--output", "pictures") if random.random() < 0.3 else ("--no-pictures",)
    line = ("--image", folder / "photos", "--jsonl", "points.jsonl", *pictures)
    outcome = run(folder, "predict", *line, fresh=True)
    points = folder / "points.jsonl"
    done = points.read_bytes().count(b"\n") if points.exists() else 0
    named = sum(f"error: {path}: " in outcome.stderr for path in (folder / "photos").iterdir())
    yield from ["done"] * done + ["named"] * named
    if done + named < PHOTOS_A_RUN:
        yield f"{FAULT}: {PHOTOS_A_RUN - done - named} photos neither done nor named"
    yield f"run {outcome.judged()}"


def giants(random: np.random.Generator, folder: Path) -> Outcomes:
    """A folder of photos just below the largest that is read, 250 megapixels: in less than 2 GB."""
    (folder / "photos").mkdir()
    for i in range(3):
        width = int(random.integers(5_000, 50_000))
        height = int(random.uniform(0.7, 0.99) * 250_000_000 / width)
        cv2.imwrite(str(folder / "photos" / f"{i}.jpg"), cv2.resize(cv2.imread(str(photo())), (width, height)))
    pictures = ("--no-pictures",) if random.random() < 0.3 else ("--output", "pictures")
    yield run(folder, "predict", "--image", folder / "photos", *pictures, fresh=True).judged()


@functools.cache
def some_films() -> dict[str, bytes]:
    """Half a second of a face that moves, in several containers, by file name, and frames that change their size."""
    face = cv2.imread(str(photo()))
    frames = [cv2.resize(np.roll(face, 3 * i, axis=1), (192, 160)) for i in range(12)]
    sizes = [(192, 160), (96, 80), (320, 200)]
    changing = [cv2.imencode(".jpg", cv2.resize(frame, sizes[i // 4]))[1].tobytes() for i, frame in enumerate(frames)]
    contents = {"changing.mjpeg": b"".join(changing)}
    for name, codec in (("a.mp4", "mp4v"), ("a.avi", "MJPG"), ("a.mkv", "mp4v"), ("a.flv", "FLV1"), ("a.webm", "VP80")):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), 25, (192, 160))
            for frame in frames:
                writer.write(frame)
            writer.release()
            if path.exists() and (content := path.read_bytes()):
                contents[name] = content
    return contents


def films(random: np.random.Generator, folder: Path) -> Outcomes:
    """A film before video.py, damaged four times of five."""
    name, content = choose(random, some_films())
    (folder / name).write_bytes(content if random.random() < 0.2 else damaged(random, content))
    outputs = ("--output", "o.mp4") if random.random() < 0.5 else ("--jsonl", "o.jsonl", "--csv", "o.csv")
    span = str(random.choice(("", "--start 0.2", "--end 0.3", "--every 2"))).split()
    yield named_if_fault(run(folder, "video", "--video", folder / name, *outputs, *span, fresh=True).judged(), name)


# --- Downloads ----------------------------------------------------------------------------------------------------


def impatient_fetch(url: str, path: Path) -> None:
    public_set.BACKOFF = public_set.LONGEST_WAIT = 0.01
    public_set.DEADLINE, public_set.TIMEOUT, public_set.ATTEMPTS = 5.0, 1, 2
    public_set.fetch(url, path, 64 * "0")


def downloads(random: np.random.Generator, folder: Path) -> Outcomes:
    """A hostile server before `public_set.fetch`: a known trick, or one that is damaged."""
    name, (answer, rate) = choose(random, hostile.ANSWERS)
    with serving(damaged(random, answer) if random.random() < 0.5 else answer, rate) as url:
        fetch = functools.partial(impatient_fetch, url, folder / "file")
        fate = run(folder, fetch, no_proxy="127.0.0.1").judged(done=False)
    left = {path.name for path in folder.iterdir()} - {"stdout.txt", "stderr.txt"}
    yield named_if_fault(f"{FAULT}: left {left}" if left else fate, name)


# --- Command lines and interruptions ------------------------------------------------------------------------------

LINES = {  # of each command arguments that make it quick, among the files of `lay_out`
    "predict": ("--image", "folder/", "--jsonl", "o.jsonl"),
    "video": ("--video", "film.mp4", "--end", "0.2", "--jsonl", "o.jsonl"),
    "evaluate": ("--data", "data"),
    "train": ("--dry-run", "--data", "data"),
    "visualize": ("samples", "--data", "data"),
    "export": ("--data", "data", "--output", "o.onnx"),
    "prepare": ("check", "data"),
}
NEVER = {"--help", "--workers", "--show", "--tensorboard", "--dry-run"}  # processes without end, windows, services


def lay_out(folder: Path) -> None:
    """The files that the command lines name."""
    for split in ("training", "test"):
        small_set(folder / "data", split)
    shutil.copytree(folder / "data" / "test", folder / "folder")
    os.mkfifo(folder / "fifo")
    os.mkfifo(folder / "folder" / "fifo.jpg")
    (folder / "folder" / "zero.jpg").symlink_to("/dev/zero")
    (folder / "link").symlink_to("link")
    contents = {
        "photo.jpg": photo().read_bytes(),
        "empty.jpg": b"",
        "cut.jpg": photo().read_bytes()[:400],
        "huge.ppm": b"P6 40000 40000 255\n",
        "broken.jsonl": b'{"image": "photo.jpg", "width": 1e300, "height": 1, "faces": [1e300]}\n',
        "null.csv": bytes(1000),
        "broken.pt": b"PK\3\4" + bytes(100),
        "broken.onnx": b"PK\3\4" + bytes(100),
        "film.mp4": (DATA_DIR / "film.mp4").read_bytes(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)


@functools.cache
def options_of(command: str) -> dict[str, bool]:
    """The options of a command by its --help, and whether each takes a value."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    words = LINES[command][:1] if LINES[command][0].isalpha() else ()
    text = run(folder, command, *words, "--help").stdout
    options = re.findall(r"^  (?:-\w, )?(--[\w-]+)( \S)?", text, re.MULTILINE)
    return {name: bool(value) for name, value in options if name not in NEVER}


def commands(random: np.random.Generator, folder: Path) -> Outcomes:
    """A command line of hostile values, with streams that are closed, full or of no reader, without home or user."""
    lay_out(folder)
    command = str(random.choice(["predict"] * 3 + ["video"] * 2 + list(LINES)))
    line = list(LINES[command]) if random.random() < 0.9 or command == "train" else []
    for _ in range(random.integers(0, 5) if options_of(command) else 0):
        option, takes_value = choose(random, options_of(command))
        line.append(option + f"={hostile.VALUES[random.integers(len(hostile.VALUES))]}" * takes_value)
    full, (read, unread) = os.open("/dev/full", os.O_WRONLY), os.pipe()
    os.close(read)
    homeless = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "USER"))
    twists = [{"closed": 0}, {"closed": 1}, {"closed": 2}, {"stdout": full}, {"stdout": unread}, homeless, {}, {}]
    twist = twists[random.integers(len(twists))]
    outcome = run(folder, command, *line, fresh=True, **twist)
    os.close(full), os.close(unread)
    nowhere_to_say = twist.get("closed") == 2 and outcome.status == 2 and not outcome.stderr
    yield "named" if nowhere_to_say else named_if_fault(outcome.judged(), twist, command, [word[:80] for word in line])


def interruptions(random: np.random.Generator, folder: Path) -> Outcomes:
    """Ctrl-C or SIGTERM from 0.05 to 4 s after the start: one line, never a traceback."""
    lay_out(folder)
    command, arguments = choose(random, LINES)
    sign = (signal.SIGINT, signal.SIGTERM)[random.integers(2)]
    pid = start(folder, command, *arguments, fresh=True)
    time.sleep(random.uniform(0.05, 4))
    kill(pid, sign)
    outcome = wait(pid, folder)
    lines = outcome.stderr.splitlines()
    good = outcome.status in (0, 130, -sign) and len(lines) <= 1 and "Traceback" not in outcome.stderr
    yield "done" if good else f"{FAULT}: {command}, {sign.name}, status {outcome.status}, {' | '.join(lines)[-300:]}"


# --- Long runs ----------------------------------------------------------------------------------------------------


def usage_of(pid: int) -> tuple[float, int, int]:
    """Megabytes of memory, open files and threads of a process, from /proc (so Linux only)."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) / 1024, len(os.listdir(f"/proc/{pid}/fd")), int(status["Threads"])  # noqa: PTH208


def growth(usages: list[tuple[float, int, int]]) -> str:
    """Medians of the second tenth of the time, when all is loaded, and of the last; a fault where more than noise grew.

    That is 5% and 20 MB of memory, and two files or threads.
    """
    values, tenth = np.array(usages), max(1, len(usages) // 10)
    early, late = np.median(values[tenth : 2 * tenth], axis=0), np.median(values[-tenth:], axis=0)
    words = ("MB", "open files", "threads")
    text = ", ".join(f"{a:.0f} -> {b:.0f} {word}" for a, b, word in zip(early, late, words, strict=True))
    grew = late[0] > max(1.05 * early[0], early[0] + 20) or (late[1:] > early[1:] + 2).any()
    return f"{FAULT}: grew, {text}" if grew else text


def long_runs(seconds: float, folder: Path) -> Outcomes:
    """A training and a stream of photos, so many seconds each: memory, open files and threads stay as they were."""
    (folder / "photos").mkdir()
    for number, path in enumerate(islice(cycle(sorted((SAMPLE_DIR / "test").glob("*.jpg"))), 200_000)):
        (folder / "photos" / f"{number:06d}.jpg").symlink_to(path)
    lines = {
        "train": ("--data", SAMPLE_DIR, "--epochs", 100_000, "--output-dir", "run"),
        "predict": ("--image", "photos", "--no-pictures", "--jsonl", "points.jsonl"),
    }
    for command, line in lines.items():
        pid = start(folder, command, *line, fresh=True, limits={resource.RLIMIT_CPU: 10**6})
        usages, began = [], time.monotonic()
        while time.monotonic() - began < seconds and not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            time.sleep(0.5)
            with contextlib.suppress(OSError, KeyError):  # it is ending
                usages.append(usage_of(pid))
        kill(pid, signal.SIGINT)
        outcome = wait(pid, folder)
        good = outcome.status in (0, 130) and usages
        yield f"{command}: {growth(usages) if good else f'{FAULT}: {outcome.judged()}'}"


# --- The command --------------------------------------------------------------------------------------------------

_TRAININGS = (kills, together, full_disk, states)
_FILES = (checkpoints, networks, readers, labels, photos, giants, films)
_ALL = (*_TRAININGS, *_FILES, downloads, commands, interruptions)
ATTACKS = {attack.__name__.replace("_", "-"): attack for attack in _ALL}


def attack(name: str, args: argparse.Namespace) -> Counter:
    """The cases of an attack one after the other, until its time is up."""
    counts, began, number = Counter(), time.monotonic(), args.first
    while time.monotonic() - began < args.seconds and (args.cases is None or number < args.first + args.cases):
        folder = scratch / name / str(number)
        folder.mkdir(parents=True)
        outcomes = []
        for line in ATTACKS[name](np.random.default_rng([args.seed, number]), folder):
            outcomes.append(line)
            if FAULT in line:
                print(f"{name} {number}: {line}", flush=True)
        if FAULT not in "".join(outcomes) and not args.cases:
            shutil.rmtree(folder)
        counts.update(outcomes)
        number += 1
    print(f"{name}: {number - args.first} cases in {time.monotonic() - began:.0f} s")
    for line, count in sorted(counts.items(), key=lambda one: (FAULT in one[0], -one[1])):
        print(f"    {count:5d}  {line}", flush=True)
    return counts


def parse_arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("attacks", nargs="*", metavar="ATTACK", help=f"of {', '.join(ATTACKS)} (default: all)")
    p.add_argument("--seconds", type=float, default=60, help="for each attack, and each long run")
    p.add_argument("--seed", type=int, default=0, help="of all that is random")
    p.add_argument("--first", type=int, default=0, help="the number of the first case")
    p.add_argument("--cases", type=int, help="how many of each attack at most")
    p.add_argument("--folder", type=Path, help="where they happen; what there were faults with stays")
    p.add_argument("--long-runs", action="store_true", help="only a training and a stream of photos that go on")
    args = p.parse_args()
    if unknown := set(args.attacks) - set(ATTACKS):
        p.error(f"there is no attack {', '.join(sorted(unknown))}; choose of {', '.join(ATTACKS)}")
    return args


def main() -> int:
    global scratch
    args = parse_arguments()
    scratch = Path(tempfile.mkdtemp(prefix="stress-", dir=args.folder))
    for module in ("train", "predict", "evaluate", "export", "onnx"):  # once, for all children
        importlib.import_module(module)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if args.long_runs:
        counts = Counter()
        for line in long_runs(args.seconds, scratch):
            print(line, flush=True)
            counts[line] += 1
    else:
        counts = sum((attack(name, args) for name in args.attacks or ATTACKS), Counter())
    faults = sum(count for line, count in counts.items() if FAULT in line)
    print(f"{sum(counts.values())} outcomes, {faults} faults" + f", in {scratch}" * bool(faults))
    if not faults:
        shutil.rmtree(scratch)
    return int(faults > 0)


if __name__ == "__main__":
    launch.run(main)
