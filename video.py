"""Find and follow every face of a film or before a camera, and draw its 68 keypoints.

    python video.py                                        # on the drawn film that comes with this repository
    python video.py --video film.mp4                       # → outputs/film_keypoints.mp4
    python video.py --video film.mp4 --output marked.mp4 --jsonl points.jsonl --smooth offline
    python video.py --video film.mp4 --csv points.csv --start 10 --end 20 --every 2
    python video.py --video film.mp4 --measures --plot people.png    # blinks, talk and pose of each person over time
    python video.py --video 0 --show                       # a webcam, in a window; q or Esc ends it
    python video.py --video film.mp4 --align faces/        # each face upright and steady: faces/1/000000.png, …
    python video.py --video rtsp://address/of/a/camera --jsonl points.jsonl

From Python:

    from face68 import FilmReader, Landmarker, Tracker
    tracker = Tracker(Landmarker())
    for frame in FilmReader("film.mp4"):
        faces = tracker(frame.image, frame.time)
"""

import cli.launch as launch

import argparse
import contextlib
import itertools
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from cli.arguments import add_align, add_drawing, add_finding, add_measures, add_overwrite, float_from_zero, open_align
from cli.outputs import OUTPUTS, check_outputs, check_replaceable, is_ours, only_writer_of
from cli.weights import check_points, chosen_network, network_label, open_landmarker
from face68.draw import draw_faces
from face68.files import InputError
from face68.formats import (
    FILM_CSV_COLUMNS,
    ImageResult,
    append_faces_csv,
    append_jsonl,
    faces_csv_columns,
    write_faces_csv,
    write_jsonl,
)
from face68.frames import FilmReader, Frame, film_writer, is_marked_film, read_ahead
from face68.images import write_image
from face68.landmarks import Face
from face68.measures import NAMES, Blinks, as_ibug68, measure, measured
from face68.network import FOR_FILMS
from face68.overlays import draw_overlays, load_overlay
from face68.photos import prefetch
from face68.program import count_of_faces, log, parser, positive_int, report_problems
from face68.tracking import MEMORY, SEARCH_EVERY, SteadyFaces, Tracker, smooth_ahead
from plots.films import PeopleOverTime
from plots.style import save_figure

FILM = Path(__file__).resolve().parent / "data" / "film.mp4"
WINDOW = "face68"
ESCAPE = 27  # the key
PLOTS = (".png", ".svg", ".pdf")
Seen = tuple[Frame, list[Face]]  # a frame and its faces


class DrawnFrame(NamedTuple):
    """A frame, its faces, and the picture (H, W, 3) uint8 RGB of both if one is needed."""

    frame: Frame
    faces: list[Face]
    picture: np.ndarray | None = None


def parse_arguments():
    p = parser(__doc__)
    p.add_argument(
        "--video",
        "--source",
        default=str(FILM),
        metavar="FILE|NUMBER|URL",
        help="a film, the number of a camera (0, 1, …), or the address of a stream, as FFmpeg reads it",
    )
    p.add_argument("--start", type=float_from_zero, default=0.0, help="begin here, in seconds")
    p.add_argument("--end", type=float_from_zero, help="end before here, in seconds (default: at the film's end)")
    p.add_argument("--every", type=positive_int, default=1, help="take every n-th frame only")
    finding = add_finding(p)
    finding.add_argument(
        "--search-every",
        type=positive_int,
        default=SEARCH_EVERY,
        help="search the whole frame for new faces every n frames; known ones are followed in between",
    )
    finding.add_argument(
        "--smooth",
        choices=SMOOTHING,
        default="live",
        help="reduce jitter: live from past frames; offline from later ones too, without lag; off: not at all",
    )
    add_results(p.add_argument_group("results"))
    add_pictures(p.add_argument_group("pictures"))
    add_align(p, "IDENTITY/FRAME.png")
    args = p.parse_args()
    if args.overlay and (args.identities or args.confidence):
        p.error("--overlay draws no points; leave out --identities and --confidence")
    if args.end is not None and args.end <= args.start:
        p.error("--end comes after --start; give a later one")
    if args.plot and not args.measures:
        p.error("--plot shows measures; give --measures too")
    if args.plot and args.plot.suffix.lower() not in PLOTS:
        p.error(f"{args.plot}: not a picture's suffix; use one of {', '.join(PLOTS)}")
    if args.output is None and not (args.show or args.jsonl or args.csv or args.plot or args.align):
        args.output = OUTPUTS / f"{Path(args.video).stem or 'camera'}_keypoints.mp4"
    return args


def add_results(files: argparse._ActionsContainer) -> None:
    files.add_argument(
        "--output",
        type=Path,
        help="the film with its points, .mp4 or .mov, or .webp for an animated picture (default: a film in outputs, "
        "unless --show, --jsonl, --csv, --plot or --align is given)",
    )
    files.add_argument(
        "--jsonl", type=Path, help="one line per frame: its time, s, and the faces with their identities"
    )
    files.add_argument("--csv", type=Path, help="the same, one row per face")
    files.add_argument(
        "--plot", type=Path, help="with --measures: each person's blinks, talk and pose over time, .png, .svg or .pdf"
    )
    add_measures(files)
    add_overwrite(files)


def add_pictures(drawing: argparse._ActionsContainer) -> None:
    drawing.add_argument("--identities", action="store_true", help="write each face's identity above it")
    add_drawing(drawing)
    drawing.add_argument("--show", action="store_true", help="open a window with the film as it is read")


def follow(frames: Iterable[Frame], tracker: Tracker) -> Iterator[Seen]:
    """Raises: InputError: the network or the detector fails, and in which frame."""
    for frame in frames:
        try:
            faces = tracker(frame.image, frame.time)
        except InputError as error:
            raise InputError(f"frame {frame.index}: {error}") from error
        yield frame, faces


def count_blinks(seen: Iterable[Seen]) -> Iterator[Seen]:
    """Add each face's number of blinks so far, of unfiltered points, since filtering hides blinks."""
    blinks: dict[int, tuple[Blinks, float]] = {}  # by identity; with the second in which it was seen last
    for frame, faces in seen:
        blinks = {identity: known for identity, known in blinks.items() if frame.time - known[1] <= MEMORY}
        counted = []
        for face in faces:
            of_face, _ = blinks.get(face.identity) or (Blinks(), 0.0)
            blinks[face.identity] = of_face, frame.time
            of_68 = as_ibug68(face)
            of_face.add(frame.time, measure(of_68.keypoints, of_68.visible).eye_openness)
            counted.append(replace(face, measures={"blinks": of_face.count}))
        yield frame, counted


def smooth_live(seen: Iterable[Seen]) -> Iterator[Seen]:
    steady = SteadyFaces()
    return ((frame, steady(faces, frame.time)) for frame, faces in seen)


SMOOTHING = {"live": smooth_live, "offline": smooth_ahead, "off": iter}


def open_drawing(args) -> Callable[[Seen], DrawnFrame]:
    """The function that draws the faces on a frame, if a picture is needed."""
    if not (args.output or args.show):
        return lambda seen: DrawnFrame(*seen)
    if args.overlay:
        picture_of = partial(draw_overlays, overlays=[load_overlay(name) for name in args.overlay])
    else:
        picture_of = partial(draw_faces, confidence=args.confidence, identities=args.identities, axes=args.measures)
    return lambda seen: DrawnFrame(*seen, picture_of(seen[0].image, seen[1]))


# --- Results --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def opened_results(reader: FilmReader, points: int, args) -> Iterator[Callable[[DrawnFrame], None]]:
    """Open the outputs; yields the function that writes a frame to them."""
    columns = (*faces_csv_columns(points), *FILM_CSV_COLUMNS, *((*NAMES, "blinks") if args.measures else ()))
    align = open_align(args)
    with contextlib.ExitStack() as stack:
        write_frame, people = None, PeopleOverTime()
        if args.output:
            write_frame = stack.enter_context(film_writer(args.output, reader.rate, reader.size, reader.sound))
        if args.jsonl:
            write_jsonl(args.jsonl, [])
        if args.csv:
            write_faces_csv(args.csv, [], columns)

        def write(seen: DrawnFrame) -> None:
            height, width = seen.frame.image.shape[:2]
            result = ImageResult(reader.source, width, height, seen.faces, seen.frame.index, seen.frame.time)
            if args.jsonl:
                append_jsonl(args.jsonl, result)
            if args.csv:
                append_faces_csv(args.csv, result, columns)
            for face in seen.faces if args.align else ():
                path = args.align / str(face.identity) / f"{seen.frame.index:06}.png"
                check_replaceable(path, args.overwrite)
                write_image(path, align(seen.frame.image, face).image)
            if write_frame:
                write_frame(seen.picture, seen.frame.time)
            if args.plot:
                people.add(seen.frame.time, seen.faces)

        try:
            yield write
        finally:  # after Ctrl-C or damage, of the frames so far
            if args.plot:
                save_figure(people.figure(), args.plot)


class Window:
    """Shows pictures as they come, with the frame rate.

    Raises:
        InputError: there is no screen.
    """

    def __init__(self):
        self._rate, self._last = 0.0, time.monotonic()
        # A process of its own tries it first: without a screen Qt raises nothing but ends the program.
        probe = [sys.executable, "-c", "import cv2; cv2.namedWindow('')"]
        if subprocess.run(probe, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            raise InputError("--show: no window can be opened here; write the film with --output")
        cv2.namedWindow(WINDOW, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)

    def show(self, picture: np.ndarray) -> bool:
        """Show a picture. Returns whether to go on: q, Esc and closing the window end the film."""
        now = time.monotonic()
        self._rate += 0.1 * (1 / max(now - self._last, 1e-3) - self._rate)
        self._last = now
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(bgr, f"{self._rate:.0f} fps", (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, color, thickness)
        cv2.imshow(WINDOW, bgr)
        key = cv2.waitKey(1) & 0xFF
        return key not in (ord("q"), ESCAPE) and cv2.getWindowProperty(WINDOW, cv2.WND_PROP_VISIBLE) >= 1


# --- The command ----------------------------------------------------------------------------------------------


def main() -> int:
    args = parse_arguments()
    with only_writer_of([args.jsonl, args.csv]):
        return run(args)


def run(args) -> int:
    # All that can go wrong before the first frame does so before an output is opened.
    network = chosen_network(args.checkpoint, FOR_FILMS)
    outputs = [path for path in (args.output, args.jsonl, args.csv, args.plot) if path]
    check_outputs(outputs, [network, args.video], args.overwrite, lambda path: is_ours(path) or is_marked_film(path))
    reader = FilmReader(args.video, args.start, args.end, args.every)
    tracker = Tracker(open_landmarker(network, args), smooth=False, search_every=args.search_every)
    check_points(tracker.landmarker.scheme, args)
    log(f"network: {network_label(tracker.landmarker.network)}")
    draw, window = open_drawing(args), Window() if args.show else None

    # A frame's way: read, faces followed, blinks counted, points smoothed, measured, drawn (in threads).
    followed = follow(read_ahead(reader, 1, drops=True) if reader.is_live else reader, tracker)
    followed = SMOOTHING[args.smooth](count_blinks(followed) if args.measures else followed)
    if args.measures:  # which keeps the blinks
        followed = ((frame, measured(faces)) for frame, faces in followed)
    drawn = prefetch(draw, read_ahead(followed, reader.ahead), weigh=lambda seen: math.prod(seen[0].image.shape[:2]))
    first = next(drawn, None)
    if first is None:
        raise InputError(reader.problem or f"{args.video}: has no frame there; give another --start or --end")

    identities, count = set(), 0
    try:
        with opened_results(reader, len(tracker.landmarker.scheme), args) as write:
            for seen in tqdm(itertools.chain([first], drawn), total=reader.count, unit="frame", disable=None):
                with launch.uninterrupted():  # the files and the last line shall agree
                    write(seen)
                    count += 1
                    identities |= {face.identity for face in seen.faces}
                if window and not window.show(seen.picture):
                    break
    finally:
        written = [*outputs, *([args.align] if args.align else [])]
        where = f" -> {', '.join(map(str, written))}" if written else ""
        keeps_sound = reader.sound and args.output and reader.sound.fits(args.output)
        sound = " (without sound)" if args.output and not keeps_sound else ""
        log(f"{args.video}: {count} frames, {count_of_faces(len(identities))}{where}{sound}")
    return 2 if report_problems([InputError(reader.problem)] if reader.problem else []) else 0


if __name__ == "__main__":
    launch.run(main)
