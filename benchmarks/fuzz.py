"""Fuzz the readers, guided by the lines that they run: atheris (pip install atheris; Linux and macOS).

    python -m benchmarks.fuzz                                # every reader for a minute
    python -m benchmarks.fuzz csv pts --seconds 600 --seed 1
    python -m benchmarks.fuzz csv --again outputs/fuzz/csv/crash-da39a3ee    # a finding again, with its traceback

A reader may return what it promises (finite numbers, shapes, files that read the same again), or raise `InputError`
with one line that names the file. All else is a finding, and so is more than 2 GB or 20 s: it is kept in
outputs/fuzz/NAME/, beside the inputs that reached new lines, from which the next run goes on. The exit status is 1
where there was one.

To add a reader: a function that takes a path, and a line in READERS. What is under watch is imported by `fuzz`, so here
the readers' modules are imported within functions.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
FINDINGS = REPOSITORY / "outputs" / "fuzz"
LIMITS = ("-timeout=20", "-report_slow_units=20", "-rss_limit_mb=2048", "-max_len=16384")  # s and MB of one input

# --- Readers: what each promises of a file that it takes -----------------------------------------------------------


def read_image(path: Path) -> None:
    from face68.images import read_image, read_reduced

    image = read_image(path)
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size
    small, factor = read_reduced(path, least=16)
    assert (small.shape[0] * factor, small.shape[1] * factor) == image.shape[:2]


def read_pts(path: Path) -> None:
    from face68.formats import read_pts, write_pts

    points = read_pts(path)
    assert points.shape == (68, 2) and points.dtype == np.float32 and np.isfinite(points).all()
    write_pts(path, points)
    assert np.abs(read_pts(path) - points).max() <= 1e-4 + 1e-6 * np.abs(points).max()


def read_csv(path: Path) -> None:
    from datasets.labels import read_csv, write_csv

    names, points = read_csv(path)
    assert points.shape == (len(names), 68, 2) and np.isfinite(points).all() and len(set(names)) == len(names)
    write_csv(path, names, points)
    again, same = read_csv(path)
    assert again == names and np.array_equal(same, points)


def read_results(file_format: str, path: Path) -> None:
    from face68 import formats

    read, write = (getattr(formats, f"{verb}_{file_format}") for verb in ("read", "write"))
    results = read(path)
    for face in (face for result in results for face in result.faces):
        assert face.keypoints.shape == (68, 2) and np.isfinite(face.keypoints).all()
    write(path, results)
    first = path.read_bytes()
    write(path, read(path))
    assert path.read_bytes() == first


def read_label_shift(path: Path) -> None:
    from datasets.layout import labels_of

    path = path.replace(path.with_name("label_shift.json"))
    assert np.isfinite(labels_of(path.parent)[0]).all()


def read_policy(path: Path) -> None:
    """The crop policy as it stands in a checkpoint and in an exported network's metadata, text of JSON."""
    from face68.geometry import CropPolicy, crop_matrix, invert

    try:
        policy = CropPolicy(**json.loads(path.read_text()))
    except (KeyError, TypeError, ValueError, RecursionError):  # which those who read policies expect
        return
    matrix = crop_matrix(np.array([10.0, 20.0, 110.0, 140.0]), policy)
    assert np.isfinite(matrix).all() and np.isfinite(invert(matrix)).all()


# --- Seeds: files of each format to begin with ---------------------------------------------------------------------


def write_images(folder: Path) -> None:
    from benchmarks.stress import encodings

    for name, content in encodings(side=24).items():
        (folder / name).write_bytes(content)


def write_results(file_format: str, folder: Path) -> None:
    from face68 import formats
    from face68.landmarks import Face

    points = np.linspace(0, 100, 136, dtype=np.float32).reshape(68, 2)
    plain = Face((0.0, 0.0, 100.0, 100.0), None, points)
    whole = (np.ones(68, np.float32), 0.8, 2, {"yaw": 1.0, "roll": None})
    faces = [plain, Face((1.0, 1.0, 101.0, 101.0), 0.9, points + 1, *whole)]
    results = [
        formats.ImageResult("a.jpg", 200, 100, faces),
        formats.ImageResult("b.mp4", 200, 100, [plain], frame=3, time=0.1),
        formats.ImageResult("c.jpg", 200, 100, []),
    ]
    getattr(formats, f"write_{file_format}")(folder / "some", results)


def write_csv(folder: Path) -> None:
    """The header and the first three faces of the drawn sample."""
    path = REPOSITORY / "data" / "sample" / "training_frames_keypoints.csv"
    (folder / "some").write_text("".join(path.read_text().splitlines(keepends=True)[:4]))


def write_pts(folder: Path) -> None:
    from face68.formats import write_pts

    write_pts(folder / "some", np.linspace(-3, 400, 136).reshape(68, 2))


def write_texts(*texts: str) -> Callable[[Path], object]:
    return lambda folder: [(folder / str(number)).write_text(text) for number, text in enumerate(texts)]


class Reader(NamedTuple):
    """read: what is attacked; seeds: writes the files to begin with; words: what is worth putting in."""

    read: Callable[[Path], None]
    seeds: Callable[[Path], object]
    words: str


NUMBERS = '"1e39" "-1e400" "nan" "inf" "1_0" "0x1p9" "-0" "1e-400" "\\xef\\xbb\\xbf" "\\x00" "\\xd9\\xa3"'
OF_RESULTS = NUMBERS + ' "null" "true" "[]" "{}" "\\"faces\\"" "\\\\u"'
OF_IMAGES = '"Exif" "IHDR" "IDAT" "acTL" "\\xff\\xd8" "\\xff\\xc0" "RIFF" "ftypavif"'
SHIFTS = write_texts('{"x": 0.01, "y_pixels": 0.5}', '{"slant": -0.1}')
POLICIES = write_texts('{"size": 112, "margin": 1.2}', '{"size": 8, "margin": 1e1}')
READERS = {
    "images": Reader(read_image, write_images, OF_IMAGES),
    "csv": Reader(read_csv, write_csv, NUMBERS + ' "True" "\\"" ",," "../"'),
    "pts": Reader(read_pts, write_pts, NUMBERS + ' "version:" "n_points:" "{" "}"'),
    **{
        name: Reader(partial(read_results, name), partial(write_results, name), OF_RESULTS)
        for name in ("json", "jsonl", "faces_csv", "coco")
    },
    "label_shift": Reader(read_label_shift, SHIFTS, NUMBERS),
    "policy": Reader(read_policy, POLICIES, NUMBERS),
}


# --- Fuzzing -------------------------------------------------------------------------------------------------------


def attempt(read: Callable[[Path], None], content: bytes, folder: Path) -> None:
    """Give a reader these bytes as a file.

    Raises:
        AssertionError: its line doesn't name the file, is empty or more than one; or whatever the reader raised.
    """
    from face68.files import InputError

    path = folder / "input"
    path.write_bytes(content)
    try:
        read(path)
    except InputError as error:
        line = str(error)
        assert str(folder) in line and len(line.splitlines()) == 1, f"a line that helps nobody: {line!r}"


def fuzz(name: str, arguments: list[str]) -> None:
    """Run in a process of its own, which libFuzzer ends."""
    import atheris

    with atheris.instrument_imports(include=["face68", "datasets", "PIL", "json"]):
        import PIL.Image

        import face68.formats
        import face68.images  # noqa: F401 (what the readers import later has to be under watch)
    PIL.Image.init()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        atheris.Setup([sys.argv[0], *arguments], lambda content: attempt(READERS[name].read, content, Path(folder)))
        atheris.Fuzz()


def campaign(name: str, seconds: int, seed: int) -> tuple[int, int, list[Path]]:
    """Fuzz one reader. Returns how many inputs it was given, how many of them are kept, and the new findings."""
    folder = FINDINGS / name
    corpus, seeds, words = folder / "corpus", folder / "seeds", folder / "words"
    shutil.rmtree(seeds, ignore_errors=True)
    for one in (corpus, seeds):
        one.mkdir(parents=True, exist_ok=True)
    READERS[name].seeds(seeds)
    words.write_text(READERS[name].words.replace(" ", "\n") + "\n")
    known = set(folder.glob("*-*"))
    line = [sys.executable, "-m", "benchmarks.fuzz", name, "--inside", corpus, seeds, *LIMITS, f"-dict={words}"]
    line += [f"-max_total_time={seconds}", f"-seed={seed + 1}", f"-artifact_prefix={folder}/"]
    line += ["-print_final_stats=1", "-verbosity=0"]
    log = folder / "log.txt"
    with log.open("w") as file:
        subprocess.run(list(map(str, line)), stdout=file, stderr=subprocess.STDOUT, cwd=REPOSITORY)
    executed = re.search(r"number_of_executed_units: (\d+)", log.read_text(errors="replace"))
    findings = sorted(set(folder.glob("*-*")) - known)
    if executed is None and not findings:
        raise SystemExit(f"{name}: the fuzzer ended by itself; see {log}")
    return int(executed[1]) if executed else 0, len(list(corpus.iterdir())), findings


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("readers", nargs="*", metavar="READER", help=f"one of {', '.join(READERS)} (default: all)")
    p.add_argument("--seconds", type=int, default=60, help="for each reader")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--again", type=Path, metavar="FILE", help="give the reader this input, and see what it does")
    args = p.parse_args()
    if unknown := [name for name in args.readers if name not in READERS]:
        p.error(f"no such reader: {', '.join(unknown)}")
    names = args.readers or list(READERS)
    if args.again is not None:
        with tempfile.TemporaryDirectory() as folder:
            attempt(READERS[names[0]].read, args.again.read_bytes(), Path(folder))
        print("the reader returned, or named the file in a line")
        return 0
    any_findings = False
    for name in names:
        inputs, kept, findings = campaign(name, args.seconds, args.seed)
        any_findings |= bool(findings)
        print(f"{name:12} {inputs:9,} inputs, {kept:5,} of them reached new lines, {len(findings)} findings")
        print(*(f"    {path}\n" for path in findings), sep="", end="", flush=True)
    return int(any_findings)


if __name__ == "__main__":
    if "--inside" in sys.argv:
        fuzz(sys.argv[1], sys.argv[3:])
    sys.exit(main())
