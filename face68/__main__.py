"""Find the 68 keypoints of every face in photos: JSON on standard output, a line a photo.

face68 photo.jpg
face68 photo.jpg --output marked/           # and pictures with the points, in that folder
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
    p.add_argument("photos", nargs="+", metavar="PHOTO", help="files, folders, globs, or - for standard input")
    p.add_argument("--output", type=Path, metavar="FOLDER", help="draw the points, too: a picture a photo")
    p.add_argument("--network", default=FOR_PHOTOS, metavar="|".join((*FAMILY, "FILE.onnx")), help="fast to exact")
    p.add_argument("--version", action="version", version=f"face68 {__version__}")
    return p.parse_args()


def write_picture(photo: Photo, path: Path) -> None:
    """Draw the points.

    Raises:
        InputError: the file can't be written, or is there and not a picture of ours, or the photo itself.
    """
    if path.exists() and (not is_marked(path) or path.samefile(photo.source)):
        raise InputError(f"{path}: is there and not a picture of face68's; name another folder")
    write_image(path, draw_faces(photo.image, photo.faces))


def main() -> int:
    args = parse_arguments()
    landmarker, inputs = Landmarker(args.network), find_inputs(args.photos)
    failed = report_problems(inputs.problems)
    names = dict(zip(inputs.sources, inputs.names, strict=True))
    for photo in find_faces(landmarker, inputs.sources, read_source, weigh=weigh_source):
        try:
            if photo.problem:
                raise photo.problem
            if args.output:
                name = names[photo.source]
                suffix = "" if name.suffix.lower() in MARKED_SUFFIXES else ".png"
                write_picture(photo, args.output / f"{name}{suffix}")
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
