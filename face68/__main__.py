"""Find the 68 keypoints of every face in photos: JSON on standard output, a line a photo.

face68 photo.jpg
face68 photo.jpg --output marked/           # also writes the photo with its points into that folder
face68 photos/ --output marked/ > points.jsonl
"""

from pathlib import Path

from face68 import Landmarker, __version__
from face68.draw import draw_faces
from face68.files import InputError
from face68.formats import ImageResult, json_line
from face68.images import MARKED_SUFFIXES, is_marked, write_image
from face68.inputs import find_inputs, read_source, weigh_source
from face68.network import FAMILY, FOR_PHOTOS
from face68.photos import Photo, find_faces
from face68.program import parser, report_problems, run_program


def parse_arguments():
    p = parser(__doc__)
    p.prog = "face68"
    p.add_argument(
        "photos", nargs="+", metavar="PHOTO", help="files, folders, patterns as 'a/*.jpg', or - for standard input"
    )
    p.add_argument("--output", type=Path, metavar="FOLDER", help="also write each photo with its points there")
    networks = "|".join((*FAMILY, "FILE.onnx"))
    p.add_argument("--network", default=FOR_PHOTOS, metavar=networks, help="from fast to exact; or a file")
    p.add_argument("--version", action="version", version=f"face68 {__version__}")
    return p.parse_args()


def write_picture(photo: Photo, path: Path, taken: set[Path]) -> None:
    """Write the photo with its points. It may replace an earlier run's picture.

    taken: the photos and pictures of this run, which it never replaces; gets the new one.

    Raises:
        InputError: the file can't be written, or is there and not to be replaced.
    """
    if path.resolve() in taken or (path.exists() and not is_marked(path)):
        raise InputError(f"{path}: is a photo, a picture of this run, or not face68's; name another folder")
    write_image(path, draw_faces(photo.image, photo.faces))
    taken.add(path.resolve())


def main() -> int:
    args = parse_arguments()
    landmarker, inputs = Landmarker(args.network), find_inputs(args.photos)
    failed = report_problems(inputs.problems)
    names = dict(zip(inputs.sources, inputs.names, strict=True))
    taken = {Path(source).resolve() for source in inputs.sources}
    for photo in find_faces(landmarker, inputs.sources, read_source, weigh=weigh_source):
        try:
            if photo.problem:
                raise photo.problem
            if args.output:
                name = names[photo.source]
                suffix = "" if name.suffix.lower() in MARKED_SUFFIXES else ".png"
                write_picture(photo, args.output / f"{name}{suffix}", taken)
        except InputError as problem:
            failed += report_problems([problem])
        else:
            print(json_line(ImageResult(photo.source, *photo.size, photo.faces)), flush=True)
    return 2 if failed else 0


def command() -> None:
    """The command `face68`."""
    run_program(main)


if __name__ == "__main__":
    command()
