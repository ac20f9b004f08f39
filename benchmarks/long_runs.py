"""See that memory, open files and threads stay flat over long runs: 200 epochs of training, 20,000 photos.

    python -m benchmarks.long_runs                                   # on the drawn sample; a quarter of an hour
    python -m benchmarks.long_runs --epochs 50 --photos 2000 --photo-folder photos/ --output-dir outputs

Both commands run as a user's do, one after the other, and are looked at each half second in /proc (so Linux only). For
each it prints what it had in the median of the second tenth of its time, when all is loaded, and of the last one, and
draws long_runs.png. The exit status is 1 where memory grew by more than 5% and 20 MB, files or threads by more than 2.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
SAMPLE = REPOSITORY / "data" / "sample"
PERIOD = 0.5  # s between looks


class Look(NamedTuple):
    """What a process has after so many seconds."""

    seconds: float
    megabytes: float
    files: int
    threads: int


def watch(script: str, *arguments) -> list[Look]:
    """Run a command to its end and look at it.

    Raises:
        SystemExit: it failed.
    """
    line = [sys.executable, str(REPOSITORY / script), *map(str, arguments)]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(line, stdout=said, stderr=subprocess.STDOUT)
        start, looks = time.monotonic(), []
        while process.poll() is None:
            try:
                looks.append(Look(time.monotonic() - start, *look_at(Path("/proc", str(process.pid)))))
            except (OSError, StopIteration):  # it is ending
                break
            time.sleep(PERIOD)
        if process.wait():
            said.seek(0)
            raise SystemExit(f"{script} failed:\n{said.read().decode(errors='replace')[-2000:]}")
    return looks


def look_at(process: Path) -> tuple[float, int, int]:
    """Megabytes of memory, open files and threads. Mapped files count too."""
    status = (process / "status").read_text().splitlines()
    memory = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
    threads = next(int(line.split()[1]) for line in status if line.startswith("Threads:"))
    return memory / 1024, sum(1 for _ in (process / "fd").iterdir()), threads


def grew(name: str, looks: list[Look]) -> bool:
    """Print what it had early and late; whether that is more than noise."""
    values = np.array(looks)[:, 1:]
    tenth = max(1, len(values) // 10)
    early, late = np.median(values[tenth : 2 * tenth], axis=0), np.median(values[-tenth:], axis=0)
    words = ("MB", "open files", "threads")
    told = ", ".join(f"{a:.0f} -> {b:.0f} {word}" for a, b, word in zip(early, late, words, strict=True))
    print(f"{name}, {looks[-1].seconds:.0f} s: {told}", flush=True)
    return bool(late[0] > max(1.05 * early[0], early[0] + 20) or (late[1:] > early[1:] + 2).any())


def many_photos(folder: Path, photos: Path, count: int) -> None:
    """So many names in a folder for the photos in another one, each of them several times."""
    known = sorted(path for path in photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not known:
        raise SystemExit(f"{photos}: no photos there; name a folder of JPEG or PNG files")
    folder.mkdir()
    for number, path in enumerate(islice(cycle(known), count)):
        (folder / f"{number:06d}{path.suffix}").symlink_to(path.resolve())


def draw(runs: dict[str, list[Look]], path: Path) -> None:
    figure, axes = plt.subplots(3, len(runs), figsize=(5 * len(runs), 6), sharex="col", layout="constrained")
    for column, (name, looks) in zip(axes.T, runs.items(), strict=True):
        seconds, *values = np.array(looks).T
        for axis, of_kind, label in zip(column, values, ("memory (MB)", "open files", "threads"), strict=True):
            axis.plot(seconds, of_kind, linewidth=1)
            axis.set_ylim(0, 1.15 * of_kind.max())
            axis.set_ylabel(label)
        column[0].set_title(name)
        column[-1].set_xlabel("time (s)")
    figure.savefig(path, dpi=110)


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--epochs", type=int, default=200)
    p.add_argument("--photos", type=int, default=20_000)
    p.add_argument("--photo-folder", type=Path, default=SAMPLE, help="which photos")
    p.add_argument("--output-dir", type=Path, default=REPOSITORY / "outputs")
    args = p.parse_args()
    runs = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        training = ("--data", SAMPLE, "--epochs", args.epochs, "--output-dir", place / "training")
        runs[f"{args.epochs} epochs on the sample"] = watch("train.py", *training)
        many_photos(place / "photos", args.photo_folder, args.photos)
        finding = ("--image", place / "photos", "--no-pictures", "--jsonl", place / "points.jsonl")
        runs[f"{args.photos:,} photos"] = watch("predict.py", *finding)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    draw(runs, args.output_dir / "long_runs.png")
    flat = [not grew(name, looks) for name, looks in runs.items()]
    return int(not all(flat))


if __name__ == "__main__":
    sys.exit(main())
