"""Find every face of a photo and draw its 68 keypoints.

    python predict.py                                   # on a photograph that comes with matplotlib
    python predict.py --image photo.jpg --output marked.png --json points.json
    python predict.py --image folder/                   # every image of a folder

From Python:

    from predict import Landmarker
    faces = Landmarker()(rgb)    # rgb: (H, W, 3) uint8; see landmarker.py
"""

from pathlib import Path

import visualize
from cli import InputError, parser, run
from detect import DETECTORS
from images import IMAGE_SUFFIXES, find_images, read_image, write_image
from landmarker import Landmarker
from landmarks import ImageResult, write_json

__all__ = ["Landmarker"]  # lives in landmarker.py, so that evaluate.py can use it too; people look for it here


def parse_arguments():
    p = parser(__doc__)
    p.add_argument("--image", type=Path, help="a photo, or a folder of photos (default: one that matplotlib ships)")
    p.add_argument("--checkpoint", type=Path, help="network (default: saved_models/best.pt, else pretrained.pt)")
    p.add_argument(
        "--output", type=Path, help="the picture, or a folder for a folder's pictures (default: in outputs/)"
    )
    p.add_argument("--json", type=Path, help="also write boxes, scores and keypoints to this file")
    p.add_argument("--detector", choices=DETECTORS, default="auto", help="how faces are found; none: the frame is one")
    p.add_argument("--show", action="store_true", help="open a window with each picture")
    return p.parse_args()


def find_inputs(image: Path | None) -> list[Path]:
    """The photos to work on."""
    if image is None:
        from matplotlib import cbook  # here, because it takes a while and only the demonstration needs it

        return [Path(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))]
    return find_images(image) if image.is_dir() else [image]


def plan_outputs(inputs: list[Path], output: Path | None, is_folder: bool) -> list[Path]:
    """Where each photo's picture goes.

    Raises:
        InputError: a picture would take the place of a photo.
    """
    if is_folder or output is None or output.is_dir() or output.suffix.lower() not in IMAGE_SUFFIXES:
        folder = output or Path("outputs")
        # With a folder, a.jpg and a.png must not become one picture: the whole name stays.
        outputs = [folder / (f"{path.name}.png" if is_folder else f"{path.stem}_keypoints.png") for path in inputs]
    else:
        outputs = [output]
    taken = {path.resolve() for path in inputs}
    for path in outputs:
        if path.resolve() in taken:
            raise InputError(f"{path}: is a photo to read; give --output another name")
    return outputs


def main() -> None:
    args = parse_arguments()
    inputs = find_inputs(args.image)
    outputs = plan_outputs(inputs, args.output, is_folder=args.image is not None and args.image.is_dir())
    landmarker = Landmarker(args.checkpoint, args.detector)
    print(f"network: {landmarker.path}")
    results = []
    for path, output in zip(inputs, outputs, strict=True):
        image = read_image(path)
        faces = landmarker(image)
        picture = visualize.draw_faces(image, faces)
        write_image(output, picture)
        count = {0: "no face found", 1: "1 face"}.get(len(faces), f"{len(faces)} faces")
        print(f"{path}: {count} -> {output}")
        results.append(ImageResult(str(path), image.shape[1], image.shape[0], faces))
        if args.show:
            visualize.show(picture, path.name)
    if args.json:
        write_json(args.json, results)


if __name__ == "__main__":
    run(main)
