"""Attacks on what the commands read: damaged photos and films, hostile servers, odd command lines, interruptions.

Each command runs as a user's does, in a process and a folder of its own.
"""

import contextlib
import functools
import io
import os
import shutil
import signal
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, features

from benchmarks.harness import FAULT, MEMORY, PATIENCE, REPOSITORY, SAMPLE, Outcome, choose, damaged, photo

# --- A command, and what became of it -------------------------------------------------------------------------


def run_command(line: Sequence[str], folder: Path, stdin=subprocess.DEVNULL, stdout=None, **options) -> Outcome:
    """Run it in `folder`, for at most PATIENCE s."""
    options = {"env": environment()} | options
    began = time.monotonic()
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(line, cwd=folder, stdin=stdin, stdout=stdout or said, stderr=complaints, **options)
        timer = threading.Timer(PATIENCE, process.kill)
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        hangs = timer.finished.is_set()
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for file in (said, complaints):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Outcome(None if hangs else process.returncode, *texts, time.monotonic() - began, peak)


def environment(**changes: str | None) -> dict[str, str]:
    """The process's own with one thread to each library, and these on top; None takes a name away."""
    values = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)} | changes
    return {name: value for name, value in values.items() if value is not None}


def script(name: str, *arguments) -> list[str]:
    return [sys.executable, str(REPOSITORY / name), *map(str, arguments)]


def verdict(outcome: Outcome, statuses: Sequence[int] = (0, 2)) -> str:
    """ "done", "named" or a fault. statuses: those that an end in good order may have."""
    lines = [line for line in outcome.stderr.splitlines() if line.strip()]
    explained = all(line.startswith(("error: ", "note: ", "stopped by ")) for line in lines)
    faults = {
        "hangs": outcome.status is None,
        "traceback": "Traceback" in outcome.stderr or "Exception ignored" in outcome.stderr,
        "crash": outcome.status not in statuses,
        f"took {outcome.memory / 1e9:.1f} GB": outcome.memory > MEMORY,
        "unexplained": not explained or (outcome.status == 2 and not lines),
    }
    for fault, is_one in faults.items():
        if is_one:
            return f"{FAULT}: {fault}, status {outcome.status}, {' | '.join(lines[-3:])[-300:]}"
    return "done" if outcome.status == 0 else "named"


# --- Photos ---------------------------------------------------------------------------------------------------


@functools.cache
def encodings() -> dict[str, bytes]:
    """A drawn face in every format and kind that is read, by file name."""
    face = Image.open(photo()).convert("RGB").resize((160, 160))
    exif = Image.Exif()
    exif[0x0112] = 6
    gray16 = Image.fromarray(np.asarray(face.convert("L")).astype(np.uint16) * 257)
    rgba = face.copy()
    rgba.putalpha(face.convert("L"))
    kinds = {
        "plain.jpg": (face, "JPEG", {}),
        "progressive.jpg": (face, "JPEG", {"progressive": True}),
        "turned.jpg": (face, "JPEG", {"exif": exif}),
        "cmyk.jpg": (face.convert("CMYK"), "JPEG", {}),
        "plain.png": (face, "PNG", {}),
        "alpha.png": (rgba, "PNG", {}),
        "palette.png": (face.quantize(64), "PNG", {"transparency": 0}),
        "gray16.png": (gray16, "PNG", {}),
        "plain.gif": (face, "GIF", {}),
        "film.gif": (face, "GIF", {"save_all": True, "append_images": [face.rotate(9), face.rotate(18)]}),
        "plain.webp": (face, "WEBP", {}),
        "lossless.webp": (rgba, "WEBP", {"lossless": True}),
        "plain.bmp": (face, "BMP", {}),
        "lzw.tif": (face, "TIFF", {"compression": "tiff_lzw"}),
        "deflate.tif": (face, "TIFF", {"compression": "tiff_adobe_deflate"}),
        "jpeg.tif": (face, "TIFF", {"compression": "jpeg"}),
        "raw.tif": (gray16, "TIFF", {}),
        "fax.tif": (face.convert("1"), "TIFF", {"compression": "group4"}),
        "plain.ppm": (face, "PPM", {}),
        "plain.jp2": (face, "JPEG2000", {}),
        "plain.avif": (face, "AVIF", {}),
    }
    if not features.check("avif"):
        del kinds["plain.avif"]
    contents = {}
    for name, (image, file_format, options) in kinds.items():
        buffer = io.BytesIO()
        image.save(buffer, file_format, **options)
        contents[name] = buffer.getvalue()
    return contents


PHOTOS_A_RUN = 50


def photos(random: np.random.Generator, folder: Path) -> Iterator[str]:
    """A folder of damaged photos before predict.py: each photo is done or named, or its run's fault."""
    place = folder / "photos"
    place.mkdir()
    for i in range(PHOTOS_A_RUN):
        name, content = choose(random, encodings())
        (place / f"{i}_{name}").write_bytes(damaged(random, content))
    pictures = ("--output", "pictures") if random.random() < 0.3 else ("--no-pictures",)
    detector = str(random.choice(("auto", "auto", "haar", "none")))
    line = script("predict.py", "--image", place, "--jsonl", "points.jsonl", "--detector", detector, *pictures)
    outcome = run_command(line, folder)
    points = folder / "points.jsonl"
    done = points.read_bytes().count(b"\n") if points.exists() else 0
    named = sum(f"error: {path}: " in outcome.stderr for path in place.iterdir())
    yield from ["done"] * done + ["named"] * named
    if done + named < PHOTOS_A_RUN:
        yield f"{FAULT}: {PHOTOS_A_RUN - done - named} photos neither done nor named"
    yield f"run {verdict(outcome)}"


def giants(random: np.random.Generator, folder: Path) -> Iterator[str]:
    """A folder of photos just below the largest that is read, 250 megapixels: in less than MEMORY."""
    place, face = folder / "photos", cv2.imread(str(photo()))
    place.mkdir()
    for i in range(3):
        width = int(random.integers(5_000, 50_000))
        height = int(random.uniform(0.7, 0.99) * 250_000_000 / width)
        cv2.imwrite(str(place / f"{i}.jpg"), cv2.resize(face, (width, height)))
    pictures = ("--no-pictures",) if random.random() < 0.3 else ("--output", "pictures")
    yield verdict(run_command(script("predict.py", "--image", place, *pictures), folder))


# --- Films ----------------------------------------------------------------------------------------------------


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
            if path.exists() and path.stat().st_size:
                contents[name] = path.read_bytes()
    sizes = [(192, 160), (96, 80), (320, 200)]
    changing = [cv2.imencode(".jpg", cv2.resize(frame, sizes[i // 4]))[1].tobytes() for i, frame in enumerate(frames)]
    giant = bytearray(changing[0])
    at = giant.index(b"\xff\xc0") + 5  # height and width, of the start of frame
    giant[at : at + 4] = struct.pack(">2H", 15_000, 15_000)
    count, rate = bytearray(contents["a.avi"]), bytearray(contents["a.avi"])
    main, stream = count.index(b"avih") + 8, count.index(b"strh") + 8
    for place in (main + 16, stream + 32):
        count[place : place + 4] = struct.pack("<I", 2**31 - 1)
    rate[stream + 20 : stream + 28] = struct.pack("<2I", 1, 2**31 - 1)
    return contents | {
        "changing.mjpeg": b"".join(changing),
        "giant.mjpeg": b"".join([*changing[:4], giant, *changing[:4]]),
        "count.avi": bytes(count),
        "rate.avi": bytes(rate),
    }


def films(random: np.random.Generator, folder: Path) -> Iterator[str]:
    """A film before video.py, damaged four times of five."""
    name, content = choose(random, some_films())
    film = folder / name
    film.write_bytes(content if random.random() < 0.2 else damaged(random, content))
    wanted = ("--output", "o.mp4") if random.random() < 0.5 else ("--jsonl", "o.jsonl", "--csv", "o.csv")
    span = str(random.choice(("", "--start 0.2", "--end 0.3", "--every 2")))
    yield verdict(run_command(script("video.py", "--video", film, *wanted, *span.split()), folder))


# --- Downloads ------------------------------------------------------------------------------------------------

# What a hostile server answers with; the body is endless where a number of bytes a second is told.
_HEAD = b"HTTP/1.1 200 OK\r\n"
_ANSWERS: dict[str, tuple[bytes, float | None]] = {
    "endless": (_HEAD + b"\r\n", 1e9),
    "dripping": (_HEAD + b"Content-Length: 5000\r\n\r\n", 4),
    "dripping head": (_HEAD + b"X: ", 4),
    "endless head": (_HEAD + b"X: ", 1e9),
    "length of 10^20": (_HEAD + b"Content-Length: 100000000000000000000\r\n\r\nabc", None),
    "length of words": (_HEAD + b"Content-Length: many\r\n\r\nabc", None),
    "negative length": (_HEAD + b"Content-Length: -5\r\n\r\nabc", None),
    "bad chunks": (_HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc", None),
    "huge chunk": (_HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc", None),
    "no HTTP": (b"\x00\xff\x13\x37" * 50, None),
    "nothing": (b"", None),
    "status of words": (b"HTTP/1.1 good OK\r\n\r\n", None),
    "redirect to nowhere": (b"HTTP/1.1 302 x\r\nLocation: http://[::1\r\n\r\n", None),
    "redirect to a port": (b"HTTP/1.1 302 x\r\nLocation: http://127.0.0.1:99999/\r\n\r\n", None),
    "redirect to letters": (b"HTTP/1.1 302 x\r\nLocation: http://127.0.0.1:abc/\r\n\r\n", None),
    "redirect to a file": (b"HTTP/1.1 302 x\r\nLocation: file:///etc/passwd\r\n\r\n", None),
    "redirect to spaces": (b"HTTP/1.1 302 x\r\nLocation: /a b\tc\r\n\r\n", None),
    "redirect to no text": (b"HTTP/1.1 302 x\r\nLocation: /\xff\xfe\r\n\r\n", None),
    "redirect to itself": (b"HTTP/1.1 302 x\r\nLocation: /\r\n\r\n", None),
    "busy for ever": (b"HTTP/1.1 503 x\r\nRetry-After: 99999999999999999999999\r\n\r\n", None),
    "busy without end": (b"HTTP/1.1 429 x\r\nRetry-After: inf\r\n\r\n", None),
    "other content": (_HEAD + b"Content-Length: 3\r\n\r\nabc", None),
    "a hundred heads": (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n", None),
}
_FETCH = """
import sys
from face68 import download
from face68.command.arguments import run
download.BACKOFF = download.LONGEST_WAIT = 0.01
download.DEADLINE = 5.0
run(lambda: download.fetch(sys.argv[1], sys.argv[2], 64 * "0", timeout=1, attempts=2))
"""


@contextlib.contextmanager
def serving(answer: bytes, rate: float | None) -> Iterator[str]:
    """A server's address that gives every request the answer, and then `rate` bytes a second until nobody listens."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            with contextlib.suppress(OSError):
                self.request.recv(1 << 16)
                self.request.sendall(answer)
                while rate:
                    self.request.sendall(b"x" * min(1 << 16, max(1, int(rate / 4))))
                    if rate < 1e6:
                        time.sleep(0.25)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def downloads(random: np.random.Generator, folder: Path) -> Iterator[str]:
    """A hostile server before `download.fetch`: a known trick, or one that is damaged."""
    name, (answer, rate) = choose(random, _ANSWERS)
    if random.random() < 0.5:
        answer = damaged(random, answer)
    with serving(answer, rate) as url:
        line = [sys.executable, "-c", _FETCH, url, str(folder / "file")]
        said = verdict(run_command(line, folder, env=environment(no_proxy="127.0.0.1")), (2,))
    if list(folder.iterdir()):
        said = f"{FAULT}: left files"
    yield said + f" ({name})" * said.startswith(FAULT)


# --- Command lines --------------------------------------------------------------------------------------------

_VALUES = (
    "", " ", "-", "--", "0", "-1", "1", "2", "5%", "nan", "inf", "-inf", "1e308", "1e-320", "1e999", "0x10", "1_000",
    "١", str(2**31), str(2**63), str(2**64), "9" * 400, "a" * 300, "a/" * 3000, "../..", "/", "/dev/null", "/dev/full",
    "/dev/zero", "/proc/self/mem", "photo.jpg", "folder", "fifo", "link", "no such file", "new\nline", "\x1b[2J", "ü顔",
    "\udcff", "*.jpg", "[", "**/*", "0,0,1,1", "1,1,0,0", "nan,0,1,1", "-1e9,-1e9,1e9,1e9", "0,0,3000000,3000000",
    "0,0,1e-9,1e-9", "empty.jpg", "cut.jpg", "huge.ppm", "broken.jsonl", "broken.pt", "broken.onnx", "film.mp4", "data",
    "null.csv", "auto", "none", "haar", "cpu", "cuda", "net", "glasses", "glasses@", "photo.jpg@hat", "@",
)  # fmt: skip
_OPTIONS = {  # those that each command takes
    "predict.py": (
        "--image", "--recursive", "--checkpoint", "--threads", "--detector", "--min-face", "--largest",
        "--min-face-score", "--box", "--passes", "--output", "--no-pictures", "--json", "--csv", "--coco", "--pts",
        "--jsonl", "--resume", "--measures", "--overwrite", "--boxes", "--numbers", "--confidence", "--overlay",
    ),
    "video.py": (
        "--video", "--start", "--end", "--every", "--checkpoint", "--threads", "--detector", "--min-face",
        "--search-every", "--smooth", "--output", "--jsonl", "--csv", "--measures", "--overlay", "--identities",
    ),
    "evaluate.py": (
        "--checkpoint", "--data", "--cache-dir", "--cache-mb", "--split", "--val-fold", "--folds", "--boxes",
        "--detector", "--json", "--output-dir",
    ),
    "train.py": (
        "--epochs", "--model", "--loss", "--optimizer", "--lr", "--batch-size", "--precision", "--data", "--cache-dir",
        "--cache-mb", "--balance", "--folds", "--val-fold", "--seed", "--device", "--output-dir", "--resume",
    ),
    "visualize.py": ("--data", "--output", "--seed", "--split", "--count"),
    "export.py": ("--checkpoint", "--output", "--int8", "--data", "--licence"),
    "prepare.py": ("--output", "--seed", "--checkpoint"),
}  # fmt: skip
_SWITCHES = {
    *("--recursive", "--largest", "--no-pictures", "--resume", "--measures", "--overwrite", "--boxes", "--numbers"),
    *("--confidence", "--identities", "--balance", "--int8"),
}
_FIRST = {  # what a command is given in any case: all of it quick
    "predict.py": ("--image", "photo.jpg"),
    "video.py": ("--video", "film.mp4", "--end", "0.2"),
    "evaluate.py": ("--data", "data"),
    "train.py": ("--dry-run", "--data", "data"),
    "visualize.py": ("samples", "--data", "data"),
    "export.py": ("--data", "data"),
    "prepare.py": ("check", "data"),
}
_COMMANDS = ("predict.py", "predict.py", "predict.py", "video.py", "video.py", *_OPTIONS)


def lay_out(folder: Path) -> None:
    """The files that the command lines speak of."""
    faces = sorted((SAMPLE / "test").glob("*.jpg"))[:3]
    shutil.copy(faces[0], folder / "photo.jpg")
    (folder / "folder").mkdir()
    for face in faces:
        shutil.copy(face, folder / "folder" / face.name)
    os.mkfifo(folder / "fifo")
    os.mkfifo(folder / "folder" / "fifo.jpg")
    (folder / "folder" / "zero.jpg").symlink_to("/dev/zero")
    (folder / "link").symlink_to("link")
    (folder / "empty.jpg").touch()
    (folder / "cut.jpg").write_bytes(faces[0].read_bytes()[:400])
    (folder / "huge.ppm").write_bytes(b"P6 40000 40000 255\n")
    (folder / "broken.jsonl").write_text('{"image": "photo.jpg", "width": 1e300, "height": 1, "faces": [1e300]}\n')
    (folder / "null.csv").write_bytes(b"\0" * 1000)
    for name in ("broken.pt", "broken.onnx"):
        (folder / name).write_bytes(b"PK\3\4" + b"\0" * 100)
    shutil.copy(REPOSITORY / "data" / "film.mp4", folder / "film.mp4")
    data = folder / "data"
    for split in ("training", "test"):
        rows = (SAMPLE / f"{split}_frames_keypoints.csv").read_text().splitlines()[:7]
        (data / split).mkdir(parents=True)
        (data / f"{split}_frames_keypoints.csv").write_text("\n".join(rows) + "\n")
        for row in rows[1:]:
            name = row.split(",")[0]
            shutil.copy(SAMPLE / split / name, data / split / name)


def command_line(random: np.random.Generator) -> list[str]:
    """A command with up to four options of hostile values."""
    name = str(random.choice(_COMMANDS))
    line = list(_FIRST[name]) if random.random() < 0.9 else []
    for _ in range(random.integers(0, 5)):
        option = str(random.choice(_OPTIONS[name]))
        value = _VALUES[random.integers(len(_VALUES))]
        line += [option] if option in _SWITCHES else [f"{option}={value}"] if value[:1] == "-" else [option, value]
    if name == "train.py" and "--dry-run" not in line:
        line.append("--dry-run")
    return script(name, *line)


def commands(random: np.random.Generator, folder: Path) -> Iterator[str]:
    """A command line of hostile values, with streams that are closed, full or of no reader, without home or user."""
    lay_out(folder)
    line, options, twist = command_line(random), {}, random.integers(8)
    with contextlib.ExitStack() as stack:
        if twist < 3:
            options["preexec_fn"] = lambda: os.close(twist)
        elif twist == 3:
            options["stdout"] = stack.enter_context(open("/dev/full", "w"))  # noqa: PTH123
        elif twist == 4:
            options["env"] = environment(HOME=None, XDG_CACHE_HOME=None, USER=None)
        elif twist == 5:
            read, write = os.pipe()
            os.close(read)
            stack.callback(os.close, write)
            options["stdout"] = write
        else:
            options["env"] = environment(XDG_CACHE_HOME=str(folder / "cache"))
        outcome = run_command(line, folder, **options)
    said = verdict(outcome)
    if twist == 2 and outcome.status == 2 and not outcome.stderr:
        said = "named"  # there was nowhere to say it
    yield said + f" ({twist}, {[word[:80] for word in line[1:]]})" * said.startswith(FAULT)


# --- Interruptions --------------------------------------------------------------------------------------------

_INTERRUPTED = {
    "predict.py": ("--image", "folder/", "--jsonl", "o.jsonl"),
    "video.py": ("--jsonl", "o.jsonl"),
    "evaluate.py": ("--data", SAMPLE),
    "train.py": ("--data", SAMPLE, "--epochs", "50", "--output-dir", "run"),
    "visualize.py": ("transforms",),
    "export.py": (
        "--data",
        SAMPLE,
        "--checkpoint",
        REPOSITORY / "saved_models" / "pretrained.pt",
        "--output",
        "o.onnx",
    ),
    "prepare.py": ("check", SAMPLE),
}


def interruptions(random: np.random.Generator, folder: Path) -> Iterator[str]:
    """Ctrl-C or SIGTERM from 0.05 to 4 s after the start: one line, never a traceback."""
    name, arguments = choose(random, _INTERRUPTED)
    sign = (signal.SIGINT, signal.SIGTERM)[random.integers(2)]
    shutil.copytree(SAMPLE / "test", folder / "folder")
    line = ["timeout", "--foreground", f"--signal={sign.name}", f"{random.uniform(0.05, 4):.2f}"]
    env = environment(XDG_CACHE_HOME=str(folder / "cache"))
    outcome = run_command([*line, *script(name, *arguments)], folder, env=env)
    lines = outcome.stderr.splitlines()
    good = outcome.status in (0, 124, 130, 143) and len(lines) <= 1 and "Traceback" not in outcome.stderr
    yield "done" if good else f"{FAULT}: {name}, {sign.name}, status {outcome.status}, {' | '.join(lines)[-300:]}"


ATTACKS: dict[str, Callable[[np.random.Generator, Path], Iterator[str]]] = {
    "photos": photos,
    "giants": giants,
    "films": films,
    "downloads": downloads,
    "commands": commands,
    "interruptions": interruptions,
}
