"""Find every face of a photo, or of many, and draw its 68 keypoints, or glasses, a hat, … on it.

    python predict.py                                             # on a photograph that comes with matplotlib
    python predict.py photo.jpg --output marked.png --json points.json
    python predict.py folder/ other.jpg --recursive               # every image of a folder and its folders, and another
    python predict.py folder/ --no-pictures --jsonl points.jsonl --resume
    python predict.py photo.jpg --overlay sunglasses --overlay hat
    python predict.py folder/ --no-pictures --align faces/        # each face upright, as a picture of its own
    cat photo.jpg | python predict.py - --detector none           # the frame is the face

From Python:

    from face68 import Landmarker
    faces = Landmarker()("photo.jpg")
"""

import cli.launch as launch

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from cli.arguments import add_align, add_drawing, add_finding, add_measures, add_overwrite, open_align
from cli.outputs import OUTPUTS, check_outputs, face_paths, log_new_folders, only_writer_of, picture_paths, sheet_paths
from cli.results import Results, read_earlier
from cli.weights import check_points, chosen_network, default_detector, network_label, open_landmarker
from face68.detect import Given
from face68.draw import draw_faces
from face68.files import InputError, printable, sha256
from face68.formats import faces_csv_columns, write_coco, write_faces_csv, write_imglab, write_json
from face68.inputs import (
    STDIN,
    Inputs,
    demonstration_photo,
    find_inputs,
    glance_at_source,
    read_source,
    weigh_glance,
    weigh_source,
)
from face68.landmarker import PASSES
from face68.measures import NAMES, measured
from face68.overlays import draw_overlays, load_overlay
from face68.photos import Photo, find_faces, prefetch
from face68.program import count_of_faces, log, parser, report_problems
from face68.schemes import Scheme


def parse_arguments():
    p = parser(__doc__)
    p.add_argument(
        "photos",
        nargs="*",
        metavar="PHOTO",
        help="files, folders of photos, patterns as 'a/*.jpg', or - for standard input; write ./-name.jpg where a name "
        "begins with a dash (default: a photo that comes with matplotlib)",
    )
    p.add_argument("--image", nargs="+", action="extend", metavar="PHOTO", help="the same")
    p.add_argument("--recursive", action="store_true", help="take the photos of folders in folders, too")
    finding = add_finding(p)
    finding.add_argument(
        "--box",
        type=box,
        action="append",
        metavar="X0,Y0,X1,Y1",
        help="a face is here, brows to chin and ear to ear, in pixels; repeat it for more; no detector then runs",
    )
    finding.add_argument(
        "--passes",
        type=int,
        choices=(1, 2, 3),
        default=PASSES,
        help="times that each face is predicted; more is more exact and slower",
    )
    add_results(p.add_argument_group("results"))
    add_pictures(p.add_argument_group("pictures"))
    add_align(p, "photo.png, photo.face2.png, …")
    p.usage = p.format_usage().removeprefix("usage: ").replace("%", "%%")  # as the next line does, but for the %
    args = p.parse_intermixed_args()  # photos may stand before and after options
    if args.resume and not args.jsonl:
        p.error("--resume goes on with a --jsonl file; name it")
    if args.overlay and (args.boxes or args.numbers or args.confidence):
        p.error("--overlay draws no points; leave out --boxes, --numbers and --confidence")
    if args.show and args.no_pictures:
        p.error("--show has nothing to show with --no-pictures")
    return args


def add_results(files: argparse._ActionsContainer) -> None:
    files.add_argument("--output", type=Path, help="the picture, or a folder for pictures (default: outputs)")
    files.add_argument("--no-pictures", action="store_true", help="write no pictures and no contact sheets")
    files.add_argument("--json", type=Path, help="file for boxes, scores and keypoints of all photos, in pixels")
    files.add_argument("--csv", type=Path, help="the same, one row per face")
    files.add_argument("--coco", type=Path, help="the same, as COCO keypoints")
    files.add_argument("--imglab", type=Path, help="the same, as the XML of dlib's imglab, in whole pixels")
    files.add_argument("--pts", type=Path, metavar="FOLDER", help="one iBUG .pts file per face")
    files.add_argument("--jsonl", type=Path, help="the same as --json, one line per photo, written as it is done")
    files.add_argument("--resume", action="store_true", help="skip photos that are in --jsonl, append the others")
    add_measures(files)
    add_overwrite(files)


def add_pictures(drawing: argparse._ActionsContainer) -> None:
    drawing.add_argument("--boxes", action="store_true", help="draw the box of each face")
    drawing.add_argument(
        "--numbers",
        action="store_true",
        help="write each point's number; the picture is enlarged to make room, up to 16 megapixels",
    )
    add_drawing(drawing)
    drawing.add_argument("--show", action="store_true", help="open a window with each picture")


def box(text: str) -> tuple[float, ...]:
    """An option's value: x0,y0,x1,y1 with some extent."""
    try:
        x0, y0, x1, y1 = map(float, text.split(","))
        Given([(x0, y0, x1, y1)])
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not x0,y0,x1,y1") from None
    return x0, y0, x1, y1


def open_inputs(args) -> tuple[Inputs, bool]:
    """The photos, and whether they are a single one, named by its own file."""
    named = [*args.photos, *(args.image or ())] or [str(demonstration_photo())]
    inputs = find_inputs(named, args.recursive)
    return inputs, inputs.sources == named and len(named) == 1


def open_drawing(args) -> Callable[..., np.ndarray]:
    """The function that draws a picture, for `Results.draw`."""
    if args.overlay:
        overlays = [load_overlay(name) for name in args.overlay]
        return lambda image, faces, numbers=False: draw_overlays(image, faces, overlays)
    options = {"boxes": args.boxes, "numbers": args.numbers, "confidence": args.confidence, "axes": args.measures}
    return partial(draw_faces, **options)


def options_of(network: Path, scheme: Scheme, args) -> dict:
    """The options that decide on the faces, for `ImageResult.options`; files by their content."""
    detector = default_detector(args.detector, scheme)
    options = {
        "checkpoint": sha256(network)[:12],
        "detector": sha256(detector)[:12] if Path(detector).suffix == ".onnx" else detector,
        "box": args.box and list(map(list, args.box)),
        **{name: getattr(args, name) for name in ("passes", "min_face", "largest", "min_face_score", "measures")},
    }
    return {name: value for name, value in options.items() if value is not None and value is not False}


def open_results(inputs: Inputs, single: bool, network: Path, scheme: Scheme, args) -> Results:
    """Choose the paths of all results and check them, before the first is written."""
    drawing = open_drawing(args)
    options = options_of(network, scheme, args) if args.jsonl else None
    earlier = read_earlier(args.jsonl, options) if args.resume and args.jsonl.exists() else []
    done = {result.image for result in earlier}
    pictures = {} if args.no_pictures else picture_paths(inputs, args.output, single)
    sheets = {} if single or args.no_pictures else sheet_paths(inputs, args.output, pictures.values())
    pts = face_paths(inputs, args.pts) if args.pts else {}
    aligned = face_paths(inputs, args.align, ".png") if args.align else {}
    of_photos = [
        path for paths in (pictures, sheets, pts, aligned) for source, path in paths.items() if source not in done
    ]
    named = [path for path in (args.json, args.csv, args.coco, args.imglab, args.jsonl) if path]
    photos = [source for source in inputs.sources if source != STDIN]
    check_outputs([*named, *of_photos], [network, *photos], args.overwrite)
    log_new_folders(named)
    columns = (*faces_csv_columns(len(scheme)), *(NAMES if args.measures else ()))
    writers = {args.json: write_json, args.csv: partial(write_faces_csv, columns=columns), args.coco: write_coco}
    writers[args.imglab] = write_imglab
    return Results(
        drawing,
        open_align(args),
        pictures=pictures,
        pts=pts,
        aligned=aligned,
        sheets=sheets,
        summaries={path: write for path, write in writers.items() if path},
        jsonl=args.jsonl,
        earlier=earlier,
        options=options,
        overwrite=args.overwrite,
    )


def with_progress(photos: Iterable[Photo], total: int) -> Iterator[Photo]:
    """The photos; of several, on a terminal, with a progress bar on stderr below each one's lines."""
    if total < 2 or not sys.stderr.isatty():
        yield from photos
        return
    from tqdm import tqdm  # here, because its import takes as long as a photo

    with tqdm(total=total, unit="photo", leave=False) as bar:
        for photo in photos:
            bar.clear()
            yield photo
            del photo  # as in `main`
            bar.update()
            bar.refresh()


def main() -> int:
    args = parse_arguments()
    with only_writer_of([args.jsonl]):
        return predict(args)


def predict(args) -> int:
    # Photos, paths of the results, network: all is checked before the work begins.
    inputs, single = open_inputs(args)
    network = chosen_network(args.checkpoint)
    landmarker = open_landmarker(network, args, args.box, args.passes)
    check_points(landmarker.scheme, args)
    results = open_results(inputs, single, network, landmarker.scheme, args)
    log(f"network: {network_label(landmarker.network)}")
    done = {result.image for result in results.earlier}
    todo = [source for source in inputs.sources if source not in done]
    if args.resume:
        log(f"{len(inputs.sources) - len(todo)} of {len(inputs.sources)} photos are done already")
    failed, faces = report_problems(inputs.problems), []  # how many each photo has

    # A photo's way: read, searched, predicted (in threads), drawn and written (in threads), added to the summaries.
    in_pixels = args.box or (args.min_face or 0) >= 1
    needs_whole = in_pixels or args.align or not args.no_pictures
    glance = None if needs_whole else glance_at_source
    found = find_faces(landmarker, todo, read_source, glance, weigh_glance if glance else weigh_source)
    try:
        for photo in with_progress(prefetch(results.write, found, weigh=lambda photo: photo.pixels), len(todo)):
            if photo.problem:
                failed += report_problems([photo.problem])
                continue
            if args.measures:
                photo.faces = measured(photo.faces)
            with launch.uninterrupted():  # the files about all photos shall agree
                failed += report_problems(results.add(photo))
            faces.append(len(photo.faces))
            picture = results.pictures.get(photo.source)
            log(f"{photo.source}: {count_of_faces(len(photo.faces))}" + (f" -> {picture}" if picture else ""))
            if args.show:
                from plots.style import show  # here, because matplotlib takes a while and few open windows

                show(photo.picture, printable(Path(photo.source).name))
            del photo  # it may be large, and the next one is far
    finally:
        failed += report_problems(results.close())
        written = [args.output or OUTPUTS] if results.pictures and faces and not single else []
        written += [*([path for path in (args.pts, args.align) if path and any(faces)]), *results.files]
        if written or len(todo) > 1:
            where = f", results: {', '.join(map(str, written))}" if written else ""
            log(f"photos: {len(faces)} of {len(todo)}, faces: {sum(faces)}{where}")
    return 2 if failed else 0


if __name__ == "__main__":
    launch.run(main)
