"""The care of data sets: get the public one, look for faults, measure a shift of the labels, draw faces and films.

python prepare.py download                    # the public data set into data/ (350 MB), verified file by file
python prepare.py check data                  # an audit of a data set
python prepare.py shift data --checkpoint C   # how far its labels lie off the faces
python prepare.py sample                      # draw data/sample/ anew (about a minute)
python prepare.py film speech                 # draw a film of an invented person, and write its exact truth
python prepare.py film demo --output data/film.mp4    # the embedded film anew (some minutes)
python prepare.py web                         # what the page in web/ needs beside its files (33 MB are fetched)
python prepare.py label my_faces              # correct the points of photos with the mouse, in a browser
"""

import cli.launch as launch

from pathlib import Path

from cli.arguments import add_overwrite, seed
from cli.outputs import OUTPUTS, check_outputs
from datasets import audit, browser, labelling, public_set
from datasets.layout import DATA_DIR, SAMPLE_DIR
from datasets.synthetic import films, sample
from evaluation import label_shift
from face68.files import InputError
from face68.program import log, parser, whole_number
from training.checkpoint import TorchNetwork


def port(text: str) -> int:
    """An option's value: 0 … 65535."""
    return whole_number(text, 65535)


def parse_arguments():
    p = parser(__doc__)
    commands = p.add_subparsers(dest="command", required=True, metavar="{download,check,shift,sample,film,web,label}")
    get = commands.add_parser("download", help="get the public data set, or what is missing of it")
    get.add_argument("--data", type=Path, default=DATA_DIR, help="where to put it")
    check = commands.add_parser("check", help="print an audit of a data set")
    check.add_argument("directory", type=Path, help="folder of the data set")
    shift = commands.add_parser("shift", help="measure how far a data set's labels lie off the faces")
    shift.add_argument("directory", type=Path, help="folder of the data set")
    shift.add_argument("--checkpoint", type=Path, required=True, help="the network, see evaluation/label_shift.py")
    shift.add_argument("--output", type=Path, default=Path("outputs/label_shift.png"), help="picture of the eyes")
    add_overwrite(shift)
    draw = commands.add_parser("sample", help="draw the embedded sample, pictures of invented people with exact labels")
    draw.add_argument("--output-dir", type=Path, default=SAMPLE_DIR, help="new or empty folder, or that of a sample")
    draw.add_argument("--seed", type=seed, default=0, help="another one gives the people other looks")
    film = commands.add_parser("film", help="draw a film of invented people and write its exact truth beside it")
    film.add_argument("name", choices=films.FILMS, metavar=f"{{{','.join(films.FILMS)}}}", help="which of them")
    film.add_argument("--output", type=Path, help="the .mp4 file (default: outputs/NAME.mp4)")
    film.add_argument("--seed", type=seed, default=0, help="another one gives the people other looks")
    add_overwrite(film)
    web = commands.add_parser("web", help="complete the page that runs the networks in a browser")
    web.add_argument("--archive", default=browser.ARCHIVE, help="address or file of the runtime's package")
    label = commands.add_parser("label", help="correct the points of a folder of photos by hand, in a browser")
    label.add_argument("directory", type=Path, help="folder of photos; a photo's .pts file is written beside it")
    label.add_argument("--port", type=port, default=0, help="of 127.0.0.1; 0: a free one")
    return p.parse_args()


def serve_labels(directory: Path, port: int) -> None:
    with labelling.LabelServer(directory, port) as server:
        log(f"{directory}: {len(server.photos)} photos; open this in a browser of this computer, Ctrl-C ends it:")
        log(server.address)
        server.serve_forever(poll_interval=0.1)


def main() -> None:
    args = parse_arguments()
    if args.command == "download":
        public_set.download_dataset(args.data)
    elif args.command == "check":
        audit.check(args.directory)
    elif args.command == "shift":
        check_outputs([args.output], [args.checkpoint], args.overwrite)
        label_shift.measure(args.directory, TorchNetwork(args.checkpoint), args.output)
    elif args.command == "sample":
        sample.write_sample(args.output_dir, args.seed)
    elif args.command == "web":
        browser.prepare_page(archive=args.archive)
        print(f"{browser.PAGE}: is complete; any server of files will do: python -m http.server --directory web")
    elif args.command == "label":
        serve_labels(args.directory, args.port)
    else:
        output = args.output or OUTPUTS / f"{args.name}.mp4"
        if output.suffix != ".mp4":
            raise InputError(f"{output}: films are written as .mp4; name such a file")
        check_outputs(films.film_files(output), overwrite=args.overwrite, known=films.is_film_file)
        films.write_film(args.name, output, args.seed)


if __name__ == "__main__":
    launch.run(main)
