"""Export a checkpoint as one .onnx file, which runs without PyTorch, and check that it gives the same outputs.

    python export.py                                   # saved_models/best.pt → saved_models/best.onnx
    python export.py --int8 --data data                # 8 bits: a quarter of the size, less than half of the time
    python export.py --half --data data                # 16 bits: half of the size, for GPUs (predict.py --provider)
    python export.py --checkpoint runs/wing/best.pt --output face.onnx

The file reads the points off the heat maps itself; the checkpoint's description is in its metadata. Checkpoint and file
are compared on faces of --data that training kept aside. Nothing is written if an fp32 file is more than 0.05 px off,
or if fewer bits raise the NME (inter-ocular; of a detector 1 - average precision) by more than 0.05 percentage points.
NAME.json beside it tells the page in web/ what browsers can't read off the file.
"""

import cli.launch as launch

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from cli.arguments import add_overwrite
from cli.outputs import check_outputs
from cli.weights import BEST, file_of
from data_load import CropFace, FacialKeypointsDataset, SeededSamples, join, open_split
from datasets.browser import is_description, write_description
from datasets.layout import FOLDS, default_data, split_by_person
from evaluation import metrics
from evaluation.predictions import check_scheme, in_scheme
from face68.annotators import to_annotator
from face68.detect import Detections, peaks
from face68.files import InputError, atomic_path
from face68.geometry import CropPolicy
from face68.network import FAMILY, OnnxDetector, OnnxNetwork, Predictions, is_exported
from face68.program import parser
from training.checkpoint import TorchDetector, TorchNetwork, open_checkpoint
from training.detector import LEAST_SCORE, validate_detections
from training.devices import batches
from training.mosaics import lay, to_maps
from training.onnx_export import NOT_STATED, Exported, check_parity, export_network, halve, open_file, quantize
from training.task import evenly

LOSS = 0.0005  # by which fewer bits may raise the error at most
CALIBRATION = 200  # training faces at most, whose values give the 8-bit scales
COMPARED = 256  # kept-aside faces, at most
CPU = torch.device("cpu")


def parse_arguments():
    p = parser(__doc__)
    p.add_argument(
        "--checkpoint", type=Path, default=BEST, metavar="|".join((*FAMILY, "FILE.pt")), help="what is exported"
    )
    p.add_argument("--output", type=Path, help="the .onnx file (default: what --checkpoint says, with that suffix)")
    bits = p.add_mutually_exclusive_group()
    bits.add_argument("--int8", action="store_true", help="8 bits, calibrated on training faces of --data")
    bits.add_argument("--half", action="store_true", help="16 bits, for GPUs; a processor is no faster by them")
    p.add_argument(
        "--data",
        type=Path,
        action="append",
        help="labelled faces to calibrate on and compare with, several times for several (default: data/ if it is "
        "there, else data/sample)",
    )
    add_overwrite(p)
    p.add_argument("--licence", default=NOT_STATED, help="of the weights, for the metadata")
    return p.parse_args()


def open_faces(
    directories: list[Path], network: TorchNetwork | TorchDetector
) -> tuple[FacialKeypointsDataset, FacialKeypointsDataset]:
    """Training faces, and faces of people whom the network's training kept aside, both without a transform."""
    arguments = network.checkpoint["arguments"]
    fold, folds = arguments.get("val_fold", 0), arguments.get("folds", FOLDS)
    if not (isinstance(fold, int) and isinstance(folds, int) and 0 <= fold < folds):
        raise InputError(f"{network.path}: doesn't say whom its training kept aside; give a .pt of train.py")
    faces = join([open_split(directory, "training") for directory in directories])
    if isinstance(network, TorchNetwork):
        check_scheme(network.scheme, faces.scheme, network.path)
    parts = [faces.subset(rows, None) for rows in split_by_person(faces.people, fold, folds)]
    if not all(map(len, parts)):
        raise InputError(f"{directories[0]}: too few people to keep fold {fold} of {folds} aside; give other --data")
    return parts


class Samples(NamedTuple):
    """Faces or mosaics to calibrate 8 bits on and to compare networks by.

    kind: their name in print.
    calibration, compared: crops (N, S, S) or pictures (N, 3, H, W), uint8, of training and of kept-aside people.
    measure: the error's name. error: of a network, on those to compare.
    """

    kind: str
    calibration: np.ndarray
    compared: np.ndarray
    measure: str
    error: Callable[[Exported], float]


def crops_of(faces: FacialKeypointsDataset, count: int, policy: CropPolicy) -> tuple[np.ndarray, np.ndarray]:
    """The crops (N, S, S) uint8 gray and points (N, 68, 2) px of up to `count` faces, evenly chosen."""
    samples = [CropFace(policy)(faces[i]) for i in evenly(len(faces), count)]
    images = [cv2.cvtColor(sample["image"], cv2.COLOR_RGB2GRAY) for sample in samples]
    return np.stack(images), np.stack([sample["keypoints"] for sample in samples])


def samples_of_faces(
    training: FacialKeypointsDataset, kept_aside: FacialKeypointsDataset, policy: CropPolicy
) -> Samples:
    crops, points = crops_of(kept_aside, COMPARED, policy)
    annotators = kept_aside.labelled_by[evenly(len(kept_aside), COMPARED)]

    def error(network: OnnxNetwork) -> float:
        predicted = to_annotator(Predictions(network(crops).keypoints, None, None), network, annotators)
        predicted = in_scheme(predicted, network.scheme, kept_aside.scheme)
        return float(metrics.nme(predicted.keypoints, points, scheme=kept_aside.scheme).mean())

    return Samples("faces", crops_of(training, CALIBRATION, policy)[0], crops, f"NME ({kept_aside.scheme.norm})", error)


def samples_of_mosaics(training: FacialKeypointsDataset, kept_aside: FacialKeypointsDataset) -> Samples:
    calibration, compared = (
        list(batches(SeededSamples(lay(faces.subset(evenly(len(faces), count), None), to_maps), 0), 0, CPU))
        for faces, count in ((training, CALIBRATION), (kept_aside, COMPARED))
    )

    def error(network: OnnxDetector) -> float:
        def detect(batch: dict) -> list[Detections]:
            return [peaks(*maps, LEAST_SCORE) for maps in zip(*network(as_bytes([batch])), strict=True)]

        return validate_detections(detect, compared).error

    return Samples("mosaics", as_bytes(calibration), as_bytes(compared), "1 - AP", error)


def as_bytes(parts: list[dict]) -> np.ndarray:
    """The pictures of batches, (N, 3, H, W) uint8."""
    return np.concatenate([(part["image"] * 255).round().byte().numpy() for part in parts])


def check_cost(option: str, smaller: Exported, exact: Exported, samples: Samples) -> tuple[float, float]:
    """The errors in fewer bits, which an option asked for, and in fp32.

    Raises:
        InputError: fewer bits raise it by more than LOSS.
    """
    after, before = samples.error(smaller), samples.error(exact)
    if not after - before <= LOSS:
        cost = f"it costs {after - before:.2%} of {samples.measure} here, nothing was written"
        raise InputError(f"{option}: {cost}; leave it out")
    return after, before


def main() -> None:
    args = parse_arguments()
    output = args.output or args.checkpoint.with_suffix(".onnx")  # `fast` gives ./fast.onnx, not the shipped file
    checkpoint = file_of(args.checkpoint, ".pt")
    description = output.with_suffix(".json")
    check_outputs([output], [checkpoint], args.overwrite, is_exported)
    check_outputs([description], [checkpoint], args.overwrite, is_description)
    network = open_checkpoint(checkpoint)
    faces = open_faces(args.data or [default_data()], network)
    is_detector = isinstance(network, TorchDetector)
    samples = samples_of_mosaics(*faces) if is_detector else samples_of_faces(*faces, network.policy)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "fp32.onnx")
        export_network(checkpoint, path, args.licence)
        exact = exported = open_file(path, network)
        off = check_parity(exact, network, samples.compared)
        print(f"on {len(samples.compared)} {samples.kind} the fp32 file is at most {off:.5f} px off the checkpoint")
        if args.int8 or args.half:
            path = Path(folder, "smaller.onnx")
            if args.int8:
                quantize(exact.path, path, samples.calibration)
            else:
                halve(exact.path, path)
            exported = open_file(path, network)
            after, before = check_cost("--int8" if args.int8 else "--half", exported, exact, samples)
            precision = exported.metadata["precision"]
            print(f"there, {samples.measure} is {after:.3%} in {precision}, {before:.3%} in fp32")
        with atomic_path(output) as temporary:
            temporary.write_bytes(path.read_bytes())
        write_description(path, description)
    print(f"{output}: {exported.metadata['precision']}, {output.stat().st_size / 1e6:.1f} MB; use it by")
    print(f"    python predict.py --{'detector' if is_detector else 'checkpoint'} {output} --image photo.jpg")
    if not is_detector:
        print(f'    python -c \'from face68 import Landmarker; print(Landmarker("{output}")("photo.jpg"))\'')


if __name__ == "__main__":
    launch.run(main)
