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
import socketserver
import struct
import subprocess
import tempfile
import threading
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
from benchmarks.harness import (
    FAULT,
    REPOSITORY,
    SAMPLE,
    Outcome,
    choose,
    damaged,
    kill,
    photo,
    run,
    small_set,
    start,
    wait,
)
from benchmarks.hostile import SHIPPED
from datasets import public_set
from training.checkpoint import load_checkpoint

PRETRAINED, DETECTOR = (REPOSITORY / "saved_models" / name for name in ("pretrained.pt", "detector.onnx"))
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
    return start(folder, "train", *line, without=None if exports else "onnxscript", **options)


@functools.cache
def unbroken(recipe: str) -> tuple[Path, float]:
    """The folder of a training that nobody disturbed, with its data, and the seconds it took."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    small_set(folder / "set")
    outcome = wait(train(folder, recipe), folder)
    assert outcome.status == 0, outcome.stderr
    return folder, outcome.seconds


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


def has_weights_of(unbroken_folder: Path, run_folder: Path) -> bool:
    """Whether a run ended with the weights of the unbroken one, both those to use and those to go on from."""
    a, b = (load_checkpoint(path / "last.pt") for path in (unbroken_folder / "run", run_folder))
    pairs = [(a["weights"], b["weights"]), (a["training"]["model"], b["training"]["model"])]
    return all(x.keys() == y.keys() and all(torch.equal(x[name], y[name]) for name in x) for x, y in pairs)


def ended(recipe: str, run_folder: Path, clean: Path) -> str:
    """ "done", or the fault of a run that ended: other weights, or hidden files left behind in the folder `clean`."""
    if not has_weights_of(unbroken(recipe)[0], run_folder):
        return f"{FAULT}: ends with other weights"
    left = [path.name for path in clean.rglob(".*") if path.is_file()]
    return f"{FAULT}: left behind {', '.join(left)[:80]}" if left else "done"


def resumed(recipe: str, folder: Path, clean: Path) -> str:
    """Let a stopped training come to its end; "done", or a fault."""
    outcome = wait(train(folder, recipe), folder)
    if outcome.status != 0:
        return f"{FAULT}: doesn't go on, {outcome.judged('run')}"
    return ended(recipe, folder / "run", clean)


def kills(random: np.random.Generator, folder: Path) -> Outcomes:
    """A training is killed at any time, often several times: resumed, it ends with the weights of an unbroken one."""
    recipe = str(random.choice(list(RECIPES), p=[0.45, 0.45, 0.1]))
    unbroken_folder, seconds = unbroken(recipe)
    shutil.copytree(unbroken_folder / "set", folder / "set")
    for _ in range(int(random.integers(1, 5))):
        workers, exports = (("--workers", "2") if random.random() < 0.3 else ()), bool(random.random() < 0.1)
        pid = train(folder, recipe, *workers, exports=exports)
        time.sleep(random.uniform(0, seconds * (3 if exports else 1)))
        sign = signal.SIGKILL if random.random() < 0.7 else signal.SIGINT
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
    yield resumed(recipe, folder, folder)


def together(random: np.random.Generator, folder: Path) -> Outcomes:
    """Two trainings into one folder: one of them is refused, the other ends as if alone."""
    recipe = ("net", "heatmap")[random.integers(2)]
    unbroken_folder, seconds = unbroken(recipe)
    children = {}
    for name in "ab":
        shutil.copytree(unbroken_folder / "set", folder / name / "set")
        children[name] = train(folder / name, recipe, "--output-dir", folder / "run")
        time.sleep(random.choice([0, random.uniform(0, 0.6 * seconds)]) if name == "a" else 0)
    outcomes = [wait(pid, folder / name) for name, pid in children.items()]
    if sorted(str(outcome.status) for outcome in outcomes) != ["0", "2"]:
        yield f"{FAULT}: both train, statuses {[outcome.status for outcome in outcomes]}"
        return
    fate = ended(recipe, folder / "run", folder / "run")
    yield fate if fate != "done" else max(outcomes, key=lambda outcome: outcome.status).judged("run")


def full_disk(random: np.random.Generator, folder: Path) -> Outcomes:
    """A training on a disk that becomes full (a tmpfs where that is permitted, else a limit on files' sizes): what was
    there before is whole, and with more room it goes on to the weights of an unbroken one.
    """
    recipe = ("net", "heatmap")[random.integers(2)]
    shutil.copytree(unbroken(recipe)[0] / "set", folder / "set")
    size = int(2 ** random.uniform(12, 26.5))
    (folder / "run").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder / "run"]
    mounted = random.random() < 0.7 and not subprocess.run(mount, capture_output=True).returncode
    limit, exports = (None if mounted else (resource.RLIMIT_FSIZE, size)), bool(random.random() < 0.2)
    try:
        outcome = wait(train(folder, recipe, "--cache-dir", "images", limit=limit, exports=exports), folder)
        yield "tmpfs: " * mounted + outcome.judged("run/")
        if mounted:
            shutil.copytree(folder / "run", folder / "kept")
    finally:
        if mounted:
            subprocess.run(["umount", folder / "run"], check=True)
    if mounted:
        (folder / "run").rmdir()
        (folder / "kept").rename(folder / "run")
    yield "with more room: " + resumed(recipe, folder, folder / "run")


def states(random: np.random.Generator, folder: Path) -> Outcomes:
    """Damaged and senseless states of trainings, at --resume."""
    recipe = ("net", "heatmap")[random.integers(2)]
    shutil.copytree(unbroken(recipe)[0] / "set", folder / "set")
    shutil.copytree(interrupted(recipe), folder / "run")
    name, change = choose(random, hostile.STATES)
    last = folder / "run" / "last.pt"
    if random.random() < 0.2:
        name = "damaged"
        last.write_bytes(damaged(random, last.read_bytes()))
    else:
        change(folder / "run")
    overwrite = ("--overwrite",) if random.random() < 0.5 else ()
    outcome = wait(train(folder, recipe, *overwrite), folder)
    may_be_done = name in {"damaged"} | hostile.HARMLESS_STATES
    fate = outcome.judged("run/last.pt", "run/history.csv", "run/best.pt", done=may_be_done)
    if fate == "done" and not has_weights_of(unbroken(recipe)[0], folder / "run"):
        fate = f"{FAULT}: goes on to other weights"
    if fate == "named" and "not this program's" in outcome.stderr and "history" not in outcome.stderr:
        fate = f"{FAULT}: misleads, {outcome.stderr.strip()[:150]}"
    yield named_if_fault(fate, recipe, name, *overwrite)


# --- Networks: checkpoints and exported ones ----------------------------------------------------------------------


def use(folder: Path, command: str, option: str, path: Path, output: str = "out.json") -> Outcome:
    """Run a command with a network, or a detector, from this file."""
    if command == "export":
        line = ("--data", small_set(folder / "set"), "--output", "out.onnx")
    elif command == "evaluate":
        line = ("--data", SAMPLE, "--output-dir", "out", "--json", output)
    else:
        line = ("--image", photo(), "--no-pictures", "--json", output)
        line += ("--detector", "none") if option == "--checkpoint" else ()
    return run(folder, command, option, path, *line)


@functools.cache
def answer_of(option: str, path: Path) -> str:
    """What predict.py writes with the undamaged file."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    outcome = use(folder, "predict", option, path)
    assert outcome.status == 0, outcome.stderr
    return (folder / "out.json").read_text()


def harm(random: np.random.Generator, folder: Path, option: str, original: Path) -> str:
    """A damaged file is named, or, where the damage is in nothing that counts, answers as the undamaged one."""
    path = folder / f"x{original.suffix}"
    path.write_bytes(damaged(random, original.read_bytes()))
    right = answer_of(option, original)
    fate = use(folder, "predict", option, path).judged(path.name)
    return f"{FAULT}: other points" if fate == "done" and (folder / "out.json").read_text() != right else fate


def checkpoints(random: np.random.Generator, folder: Path) -> Outcomes:
    """Damaged checkpoints, and hostile ones."""
    if random.random() < 0.4:
        yield "damaged: " + harm(random, folder, "--checkpoint", PRETRAINED)
        return
    name, build = choose(random, hostile.HOSTILE)
    build(folder / "x.pt", load_checkpoint(PRETRAINED))
    command = ("predict", "predict", "evaluate", "export")[random.integers(4)]
    outcome = use(folder, command, "--checkpoint", folder / "x.pt")
    fate = outcome.judged("x.pt", done=name in hostile.HARMLESS[command])
    yield "hostile: " + named_if_fault(f"{FAULT}: ran code" if (folder / "ran").exists() else fate, command, name)


def networks(random: np.random.Generator, folder: Path) -> Outcomes:
    """Damaged .onnx files, and hostile ones, as the network and as the detector."""
    kind = random.random()
    if kind < 0.4:
        yield "damaged: " + harm(random, folder, "--checkpoint", SHIPPED)
    elif kind < 0.6:
        yield "damaged detector: " + harm(random, folder, "--detector", DETECTOR)
    else:
        name, build = choose(random, hostile.NETWORKS)
        build(folder / "x.onnx")
        outcome = use(folder, "predict", "--checkpoint", folder / "x.onnx")
        yield "hostile: " + named_if_fault(outcome.judged("x.onnx", done=name in hostile.HARMLESS_NETWORKS), name)


# --- Labels -------------------------------------------------------------------------------------------------------


def spoilt(random: np.random.Generator, kind: str, table: list[list[str]], row: int, root: Path) -> tuple[str, bool]:
    """Change the cells of a CSV file, or of the lines of a .pts file; what was done, and whether that may be good."""
    pts = len(table[row]) == 2
    if kind == "cell":
        cell = str(random.choice(hostile.CELLS))
        table[row][random.integers(not pts, len(table[row]))] = cell
        return cell, cell in hostile.GOOD_CELLS
    if kind == "column":
        cell, column = str(random.choice(hostile.CELLS)), int(random.integers(1, 137))
        for cells in table[1:]:
            cells[column] = cell
        return cell, cell in hostile.GOOD_CELLS
    if kind == "name":
        name = str(random.choice(hostile.NAMES))
        text = name.format(name=table[row][0], folder=root)
        table[row][0] = f'"{text}"' if "\n" in text else text
        return name, name in hostile.GOOD_NAMES
    if kind == "face":
        what, change = choose(random, hostile.FACES)
        points = np.array(table[3:71] if pts else np.reshape(table[row][1:], (68, 2)), dtype=np.float64)
        change(points, random)
        if pts:
            table[3:71] = [[repr(x), repr(y)] for x, y in points.tolist()]
        else:
            table[row][1:] = map(repr, points.ravel().tolist())
        return what, False
    what = ("short row", "long row", "no rows", "twice")[random.integers(4)]
    if what == "short row":
        del table[row][-3:]
    elif what == "long row":
        table[row].append("1")
    elif what == "no rows":
        table[1:] = table[:1] * row
    else:
        table.append(table[1 if row != 1 else 2])
    return what, False


def labels(random: np.random.Generator, folder: Path) -> Outcomes:
    """CSV files, .pts files and label_shift.json, damaged and senseless: named, or trained on to a finite error."""
    pts = bool(random.random() < 0.4)
    root = small_set(folder / "set", pts=pts)
    images = sorted((root / "training").glob("*.jpg"))
    victim = images[random.integers(len(images))].with_suffix(".pts") if pts else root / "training_frames_keypoints.csv"
    kinds = ("damaged", "cell", "face", "shift", *(() if pts else ("name", "column", "shape")))
    kind, what, may_be_done = str(random.choice(kinds)), "", False
    if kind == "damaged":
        may_be_done = True
        victim.write_bytes(damaged(random, victim.read_bytes()))
    elif kind == "shift":
        what = hostile.SHIFTS[random.integers(len(hostile.SHIFTS))]
        (root / "label_shift.json").write_text(what, errors="surrogateescape")
    else:
        mark = " " if pts else ","
        table = [line.split(mark) for line in victim.read_text().splitlines()]
        row = int(random.integers(3, 71) if pts else random.integers(1, len(table)))
        what, may_be_done = spoilt(random, kind, table, row, root)
        victim.write_text("\n".join(map(mark.join, table)) + "\n", errors="surrogatepass")
    model = str(random.choice(("net", "heatmap", "detector"), p=[0.5, 0.4, 0.1]))
    outcome = run(folder, "train", "--data", "set", "--model", model, "--dry-run", *QUICK)
    fate = outcome.judged(victim.name, "set/", done=may_be_done)
    if fate == "done" and re.search(r"\b(nan|inf)\b", outcome.stdout):
        fate = f"{FAULT}: an error that isn't finite"
    yield f"{'pts' if pts else 'csv'} {kind}: " + named_if_fault(fate, repr(what[:30]))


# --- Photos and films ---------------------------------------------------------------------------------------------

PHOTOS_A_RUN = 50


@functools.cache
def encodings(side: int = 160) -> dict[str, bytes]:
    """A drawn face in every format and kind that is read, by file name."""
    face = Image.open(photo()).convert("RGB").resize((side, side))
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
    detector = str(random.choice(("auto", "none")))
    line = ("--image", folder / "photos", "--jsonl", "points.jsonl", "--detector", detector, *pictures)
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
    """Half a second of a face that moves, in several containers, by file name. Behind them tricks: frames that change
    their size, one among them that is far too large, and heads that count two billion frames, or as many a second.
    """
    face = cv2.imread(str(photo()))
    frames = [cv2.resize(np.roll(face, 3 * i, axis=1), (192, 160)) for i in range(12)]
    contents = {}
    for name, codec in (("a.mp4", "mp4v"), ("a.avi", "MJPG"), ("a.mkv", "mp4v"), ("a.flv", "FLV1"), ("a.webm", "VP80")):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), 25, (192, 160))
            for frame in frames:
                writer.write(frame)
            writer.release()
            if path.exists() and (content := path.read_bytes()):
                contents[name] = content
    sizes = [(192, 160), (96, 80), (320, 200)]
    changing = [cv2.imencode(".jpg", cv2.resize(frame, sizes[i // 4]))[1].tobytes() for i, frame in enumerate(frames)]
    giant = bytearray(changing[0])
    at = giant.index(b"\xff\xc0") + 5  # height and width, of the start of frame
    giant[at : at + 4] = struct.pack(">2H", 15_000, 15_000)
    count, rate = bytearray(contents["a.avi"]), bytearray(contents["a.avi"])
    main_head, stream_head = count.index(b"avih") + 8, count.index(b"strh") + 8
    for at in (main_head + 16, stream_head + 32):
        count[at : at + 4] = struct.pack("<I", 2**31 - 1)
    rate[stream_head + 20 : stream_head + 28] = struct.pack("<2I", 1, 2**31 - 1)
    contents |= {"changing.mjpeg": b"".join(changing), "giant.mjpeg": b"".join([*changing[:4], giant, *changing[:4]])}
    return contents | {"count.avi": bytes(count), "rate.avi": bytes(rate)}


def films(random: np.random.Generator, folder: Path) -> Outcomes:
    """A film before video.py, damaged four times of five."""
    name, content = choose(random, some_films())
    (folder / name).write_bytes(content if random.random() < 0.2 else damaged(random, content))
    outputs = ("--output", "o.mp4") if random.random() < 0.5 else ("--jsonl", "o.jsonl", "--csv", "o.csv")
    span = str(random.choice(("", "--start 0.2", "--end 0.3", "--every 2"))).split()
    yield named_if_fault(run(folder, "video", "--video", folder / name, *outputs, *span, fresh=True).judged(), name)


# --- Downloads ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def serving(answer: bytes, rate: float) -> Iterator[str]:
    """The address of a server that gives every request the answer, and then `rate` bytes a second while one listens."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            with contextlib.suppress(OSError):
                self.request.recv(1 << 16)
                self.request.sendall(answer)
                while rate:
                    self.request.sendall(b"x" * min(1 << 16, max(1, int(rate / 4))))
                    time.sleep(0.25 if rate < 1e6 else 0)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


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

FIRST = {  # the arguments of each command that make it quick
    "predict": ("--image", "photo.jpg"),
    "video": ("--video", "film.mp4", "--end", "0.2"),
    "evaluate": ("--data", "data"),
    "train": ("--dry-run", "--data", "data"),
    "visualize": ("samples", "--data", "data"),
    "export": ("--data", "data"),
    "prepare": ("check", "data"),
}
NEVER = {"--help", "--workers", "--show", "--tensorboard", "--dry-run"}  # processes without end, windows, services


def lay_out(folder: Path) -> None:
    """The files that the command lines name."""
    faces = sorted((SAMPLE / "test").glob("*.jpg"))[:3]
    shutil.copy(faces[0], folder / "photo.jpg")
    (folder / "folder").mkdir()
    for face in faces:
        shutil.copy(face, folder / "folder" / face.name)
    os.mkfifo(folder / "fifo")
    os.mkfifo(folder / "folder" / "fifo.jpg")
    (folder / "folder" / "zero.jpg").symlink_to("/dev/zero")
    (folder / "link").symlink_to("link")
    contents = {
        "empty.jpg": b"",
        "cut.jpg": faces[0].read_bytes()[:400],
        "huge.ppm": b"P6 40000 40000 255\n",
        "broken.jsonl": b'{"image": "photo.jpg", "width": 1e300, "height": 1, "faces": [1e300]}\n',
        "null.csv": bytes(1000),
        "broken.pt": b"PK\3\4" + bytes(100),
        "broken.onnx": b"PK\3\4" + bytes(100),
        "film.mp4": (REPOSITORY / "data" / "film.mp4").read_bytes(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    for split in ("training", "test"):
        rows = (SAMPLE / f"{split}_frames_keypoints.csv").read_text().splitlines()[:7]
        (folder / "data" / split).mkdir(parents=True)
        (folder / "data" / f"{split}_frames_keypoints.csv").write_text("\n".join(rows) + "\n")
        for name in (row.split(",")[0] for row in rows[1:]):
            shutil.copy(SAMPLE / split / name, folder / "data" / split / name)


@functools.cache
def options_of(command: str) -> dict[str, bool]:
    """The options of a command by its --help, and whether each takes a value."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    words = FIRST[command][:1] if FIRST[command][0].isalpha() else ()
    text = run(folder, command, *words, "--help").stdout
    options = re.findall(r"^  (?:-\w, )?(--[\w-]+)( \S)?", text, re.MULTILINE)
    return {name: bool(value) for name, value in options if name not in NEVER}


def commands(random: np.random.Generator, folder: Path) -> Outcomes:
    """A command line of hostile values, with streams that are closed, full or of no reader, without home or user."""
    lay_out(folder)
    command = str(random.choice(["predict"] * 3 + ["video"] * 2 + list(FIRST)))
    line = list(FIRST[command]) if random.random() < 0.9 or command == "train" else []
    for _ in range(random.integers(0, 5) if options_of(command) else 0):
        option, takes_value = choose(random, options_of(command))
        value = hostile.VALUES[random.integers(len(hostile.VALUES))]
        line += [f"{option}={value}" if value[:1] == "-" else option] if takes_value else [option]
        line += [value] if takes_value and value[:1] != "-" else []
    twist, options = int(random.integers(8)), {}
    with contextlib.ExitStack() as stack:
        if twist < 3:
            options["closed"] = twist
        elif twist == 3:
            options["stdout"] = stack.enter_context(open("/dev/full", "w")).fileno()  # noqa: PTH123
        elif twist == 4:
            options |= {"HOME": None, "XDG_CACHE_HOME": None, "USER": None}
        elif twist == 5:
            read, options["stdout"] = os.pipe()
            os.close(read)
            stack.callback(os.close, options["stdout"])
        outcome = run(folder, command, *line, fresh=True, **options)
    nowhere_to_say = twist == 2 and outcome.status == 2 and not outcome.stderr
    yield "named" if nowhere_to_say else named_if_fault(outcome.judged(), twist, command, [word[:80] for word in line])


INTERRUPTED = {
    "predict": ("--image", "folder/", "--jsonl", "o.jsonl"),
    "video": ("--jsonl", "o.jsonl"),
    "evaluate": ("--data", SAMPLE),
    "train": ("--data", SAMPLE, "--epochs", "50", "--output-dir", "run"),
    "visualize": ("transforms",),
    "export": ("--data", SAMPLE, "--checkpoint", PRETRAINED, "--output", "o.onnx"),
    "prepare": ("check", SAMPLE),
}


def interruptions(random: np.random.Generator, folder: Path) -> Outcomes:
    """Ctrl-C or SIGTERM from 0.05 to 4 s after the start: one line, never a traceback."""
    command, arguments = choose(random, INTERRUPTED)
    sign = (signal.SIGINT, signal.SIGTERM)[random.integers(2)]
    shutil.copytree(SAMPLE / "test", folder / "folder")
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
    for number, path in enumerate(islice(cycle(sorted((SAMPLE / "test").glob("*.jpg"))), 200_000)):
        (folder / "photos" / f"{number:06d}.jpg").symlink_to(path)
    lines = {
        "train": ("--data", SAMPLE, "--epochs", 100_000, "--output-dir", "run"),
        "predict": ("--image", "photos", "--no-pictures", "--jsonl", "points.jsonl"),
    }
    for command, line in lines.items():
        pid, usages, began = start(folder, command, *line, fresh=True, patience=10**6), [], time.monotonic()
        while time.monotonic() - began < seconds and not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            time.sleep(0.5)
            with contextlib.suppress(OSError, KeyError):  # it is ending
                usages.append(usage_of(pid))
        kill(pid, signal.SIGINT)
        outcome = wait(pid, folder)
        good = outcome.status in (0, 130) and usages
        yield f"{command}: {growth(usages) if good else f'{FAULT}: {outcome.judged()}'}"


# --- The command --------------------------------------------------------------------------------------------------

_ALL = (kills, together, full_disk, checkpoints, states, networks, labels, photos, giants, films, downloads, commands)
ATTACKS = {attack.__name__.replace("_", "-"): attack for attack in (*_ALL, interruptions)}


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
