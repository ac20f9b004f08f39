"""Fuzz the readers, guided by the lines that they run: atheris (pip install atheris; Linux and macOS).

    python -m benchmarks.fuzz                                # every reader for a minute
    python -m benchmarks.fuzz csv pts --seconds 600 --seed 1
    python -m benchmarks.fuzz csv --again outputs/fuzz/csv/crash-da39a3ee    # a finding again, with its traceback

A reader may return what it promises (finite numbers, shapes, files that read the same again), or raise `InputError`
with one line that names the file. All else is a finding, and so is more than 2 GB or 20 s: it is kept in
outputs/fuzz/NAME/, beside what was found to reach new lines, from which the next run goes on. The exit status is 1
where there was one.

To add a reader: a function that takes a path, and a line in READERS.
"""

import argparse
import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
FINDINGS = REPOSITORY / "outputs" / "fuzz"
SAMPLE = REPOSITORY / "data" / "sample"
SECONDS, MEGABYTES = 20, 2048  # of one input


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


def read_results(name: str) -> Callable[[Path], None]:
    """A reader of the results in a file format, of which the writer has to read the same again."""

    def read(path: Path) -> None:
        from face68 import formats

        reader = getattr(formats, f"read_{name}")
        results = reader(path)
        for result in results:
            assert all(face.keypoints.shape == (68, 2) for face in result.faces)
            assert all(np.isfinite(face.keypoints).all() for face in result.faces)
        writer = getattr(formats, f"write_{name}")
        writer(path, results)
        first = path.read_bytes()
        writer(path, reader(path))
        assert path.read_bytes() == first

    return read


def read_label_shift(path: Path) -> None:
    from datasets.layout import labels_of

    path = path.replace(path.with_name("label_shift.json"))
    assert all(math.isfinite(value) for value in labels_of(path.parent)[0])


def read_policy(path: Path) -> None:
    """The crop policy as it stands in a checkpoint and in an exported network's metadata, text of JSON."""
    from face68.geometry import CropPolicy, crop_matrix, invert

    try:
        policy = CropPolicy(**json.loads(path.read_text()))
    except (KeyError, TypeError, ValueError, RecursionError):  # which those who read policies expect
        return
    matrix = crop_matrix(np.array([10.0, 20.0, 110.0, 140.0]), policy)
    assert np.isfinite(matrix).all() and np.isfinite(invert(matrix)).all()


class Reader(NamedTuple):
    """read: what is attacked; seeds: files of its format to begin with; words: what is worth putting in."""

    read: Callable[[Path], None]
    seeds: Callable[[Path], None]
    words: str


def some_images(folder: Path) -> None:
    """Small pictures in all that can be written here, and an animation."""
    from PIL import Image, features

    gradient = np.linspace(0, 255, 24 * 16 * 3, dtype=np.uint8).reshape(24, 16, 3)
    image = Image.fromarray(gradient)
    kinds = {
        "JPEG": {"exif": b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0"},
        "PNG": {},
        "GIF": {},
        "BMP": {},
        "PPM": {},
        "TIFF": {"compression": "tiff_lzw"},
        "WEBP": {},
    }
    kinds |= {name: {} for name, feature in (("JPEG2000", "jpg_2000"), ("AVIF", "avif")) if features.check(feature)}
    for name, options in kinds.items():
        image.save(folder / f"rgb.{name}", name, **options)
    for mode, name in (("L", "JPEG"), ("CMYK", "JPEG"), ("RGBA", "PNG"), ("P", "PNG"), ("I;16", "PNG"), ("1", "TIFF")):
        image.convert("L" if mode == "I;16" else mode).convert(mode).save(
            folder / f"{mode.replace(';', '')}.{name}", name
        )
    image.save(folder / "turning.GIF", "GIF", save_all=True, append_images=[image.rotate(90)])


def some_results(name: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        from face68 import formats
        from face68.landmarks import Face

        points = np.linspace(0, 100, 136, dtype=np.float32).reshape(68, 2)
        faces = [
            Face((0.0, 0.0, 100.0, 100.0), None, points),
            Face(
                (1.0, 1.0, 101.0, 101.0), 0.9, points + 1, np.ones(68, np.float32), 0.8, 2, {"yaw": 1.0, "roll": None}
            ),
        ]
        results = [
            formats.ImageResult("a.jpg", 200, 100, faces),
            formats.ImageResult("b.mp4", 200, 100, faces[:1], frame=3, time=0.1),
            formats.ImageResult("c.jpg", 200, 100, []),
        ]
        getattr(formats, f"write_{name}")(folder / "some", results)

    return write


def a_csv(folder: Path) -> None:
    """The header and the first three faces of the drawn sample."""
    lines = (SAMPLE / "training_frames_keypoints.csv").read_text().splitlines(keepends=True)
    (folder / "some").write_text("".join(lines[:4]))


def a_pts(folder: Path) -> None:
    from face68.formats import write_pts

    write_pts(folder / "some", np.linspace(-3, 400, 136).reshape(68, 2))


def texts(*contents: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for number, content in enumerate(contents):
            (folder / str(number)).write_text(content)

    return write


NUMBERS = '"1e39" "-1e400" "nan" "inf" "1_0" "0x1p9" "-0" "1e-400" "\\xef\\xbb\\xbf" "\\x00" "\\xd9\\xa3"'
READERS = {
    "images": Reader(
        read_image, some_images, '"Exif" "IHDR" "IDAT" "acTL" "\\xff\\xd8" "\\xff\\xc0" "RIFF" "ftypavif"'
    ),
    "csv": Reader(read_csv, a_csv, NUMBERS + ' "True" "\\"" ",," "../"'),
    "pts": Reader(read_pts, a_pts, NUMBERS + ' "version:" "n_points:" "{" "}"'),
    **{
        name: Reader(read_results(name), some_results(name), NUMBERS + ' "null" "true" "[]" "{}" "\\"faces\\"" "\\\\u"')
        for name in ("json", "jsonl", "faces_csv", "coco")
    },
    "label_shift": Reader(read_label_shift, texts('{"x": 0.01, "y_pixels": 0.5}', '{"slant": -0.1}'), NUMBERS),
    "policy": Reader(read_policy, texts('{"size": 112, "margin": 1.2}', '{"size": 8, "margin": 1e1}'), NUMBERS),
}


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

    with atheris.instrument_imports(include=["face68", "data_load", "PIL", "json"]):
        import PIL.Image

        import data_load  # noqa: F401 (what the readers import later has to be under watch)
        import face68.formats
        import face68.images  # noqa: F401
    PIL.Image.init()
    read = READERS[name].read
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        atheris.Setup([sys.argv[0], *arguments], lambda content: attempt(read, content, Path(folder)))
        atheris.Fuzz()


def campaign(name: str, seconds: int, seed: int) -> tuple[int, int, list[Path]]:
    """Fuzz one reader. Returns how many inputs it was given, how many of them are kept, and what was found."""
    place = FINDINGS / name
    corpus, seeds = place / "corpus", place / "seeds"
    shutil.rmtree(seeds, ignore_errors=True)
    for folder in (corpus, seeds):
        folder.mkdir(parents=True, exist_ok=True)
    READERS[name].seeds(seeds)
    words = place / "words"
    words.write_text(READERS[name].words.replace(" ", "\n") + "\n")
    known = set(place.glob("*-*"))
    line = [
        sys.executable,
        "-m",
        __spec__.name,
        name,
        "--inside",
        str(corpus),
        str(seeds),
        f"-dict={words}",
        "-max_len=16384",
    ]
    limits = [
        f"-max_total_time={seconds}",
        f"-timeout={SECONDS}",
        f"-report_slow_units={SECONDS}",
        f"-rss_limit_mb={MEGABYTES}",
        f"-seed={seed + 1}",
    ]
    told = subprocess.run(
        [*line, *limits, f"-artifact_prefix={place}/", "-print_final_stats=1", "-verbosity=0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ).stdout
    (place / "log.txt").write_text(told)
    done = re.search(r"number_of_executed_units: (\d+)", told)
    found = sorted(set(place.glob("*-*")) - known)
    if done is None and not found:
        raise SystemExit(f"{name}: the fuzzer ended by itself; see {place / 'log.txt'}")
    return int(done[1]) if done else 0, len(list(corpus.iterdir())), found


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
    any_found = False
    for name in names:
        inputs, kept, found = campaign(name, args.seconds, args.seed)
        any_found |= bool(found)
        print(f"{name:12} {inputs:9,} inputs, {kept:5,} of them reached new lines, {len(found)} findings", flush=True)
        for path in found:
            print(f"    {path}")
    return int(any_found)


if __name__ == "__main__":
    if "--inside" in sys.argv:
        fuzz(sys.argv[1], sys.argv[3:])
    sys.exit(main())
