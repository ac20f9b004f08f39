"""Find the 68 keypoints of every face in photos: JSON on standard output, a line a photo.

face68 photo.jpg
face68 photo.jpg --output marked.jpg        # and a picture with the points
face68 photos/ --output marked/ > points.jsonl
"""

from pathlib import Path

from cli.arguments import add_overwrite
from cli.outputs import check_places, place_pictures
from cli.results import Results
from face68 import Landmarker, __version__
from face68.draw import draw_faces
from face68.formats import ImageResult, json_line
from face68.inputs import STDIN, find_inputs, read_source, weigh_source
from face68.network import FAMILY, FOR_PHOTOS
from face68.photos import find_faces
from face68.program import parser, report_problems, run_program


def parse_arguments():
    p = parser(__doc__)
    p.prog = "face68"
    p.add_argument("photos", nargs="+", metavar="PHOTO", help="files, folders, globs, or - for standard input")
    p.add_argument("--output", type=Path, help="draw the points, too: a picture's name, or a folder for several")
    add_overwrite(p)
    p.add_argument("--network", default=FOR_PHOTOS, metavar="|".join((*FAMILY, "FILE.onnx")), help="fast to exact")
    p.add_argument("--version", action="version", version=f"face68 {__version__}")
    return p.parse_args()


def main() -> int:
    args = parse_arguments()
    inputs = find_inputs(args.photos)
    pictures = place_pictures(inputs, args.output, inputs.sources == args.photos[:1]) if args.output else {}
    check_places(pictures.values(), [source for source in inputs.sources if source != STDIN], args.overwrite)
    landmarker = Landmarker(args.network)
    results = Results(draw_faces, pictures=pictures, pts={}, sheets={}, summaries={})
    failed = report_problems(inputs.problems)
    for photo in find_faces(landmarker, inputs.sources, read_source, weigh=weigh_source):
        if results.write(photo).problem:
            failed += report_problems([photo.problem])
        else:
            print(json_line(ImageResult(photo.source, *photo.size, photo.faces)), flush=True)
    return 2 if failed else 0


def command() -> None:
    """The command `face68`."""
    run_program(main)


if __name__ == "__main__":
    command()
