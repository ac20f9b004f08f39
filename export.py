"""Make a checkpoint one .onnx file, which runs without PyTorch, and check that it says the same.

    python export.py                                   # saved_models/best.pt → saved_models/best.onnx
    python export.py --int8 --data data                # 8 bits: a quarter of the size, less than half of the time
    python export.py --checkpoint runs/wing/best.pt --output face.onnx

Reading the points off the heat maps is part of the file, and all that the checkpoint says of itself is in its metadata.
Crops of --data are shown to both, faces that the checkpoint's training kept aside: an fp32 file that puts a point
further than 0.05 px of the crop from the checkpoint's, or an int8 one whose NME (inter-ocular) is more than 0.05
percentage points higher, isn't written.
"""

import tempfile
from pathlib import Path

import cv2
import numpy as np

import metrics
from checkpoint import TorchNetwork
from data_load import FOLDS, CropFace, FacialKeypointsDataset, default_data, join, open_split, split_by_person
from exporting import NOT_STATED, check_parity, export_network, quantize
from face68.command.arguments import add_overwrite, parser, run
from face68.command.places import check_places
from face68.files import InputError, atomic_path
from face68.geometry import CropPolicy
from face68.network import Network, OnnxNetwork, is_exported
from networks import BEST

LOSS = 0.0005  # of NME (inter-ocular), the most that 8 bits may cost
CALIBRATION = 200  # training faces whose least and largest values give the 8-bit scales
COMPARED = 256  # kept-aside faces, at most


def parse_arguments():
    p = parser(__doc__)
    p.add_argument("--checkpoint", type=Path, default=BEST, help="the .pt file")
    p.add_argument("--output", type=Path, help="the .onnx file (default: the checkpoint's name with that suffix)")
    p.add_argument("--int8", action="store_true", help="8 bits, calibrated on training faces of --data")
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


def open_faces(directories: list[Path], arguments: dict) -> tuple[FacialKeypointsDataset, FacialKeypointsDataset]:
    """Training faces, and faces of people whom a training with these arguments kept aside; cut out by nobody yet."""
    faces = join([open_split(directory, "training") for directory in directories])
    fold, folds = arguments.get("val_fold", 0), arguments.get("folds", FOLDS)
    parts = [faces.subset(rows, None) for rows in split_by_person(faces.people, fold, folds)]
    if not all(map(len, parts)):
        raise InputError(f"{directories[0]}: too few people to keep fold {fold} of {folds} aside; give other --data")
    return parts


def crops_of(faces: FacialKeypointsDataset, count: int, policy: CropPolicy) -> tuple[np.ndarray, np.ndarray]:
    """Up to `count` faces, evenly chosen, as a network sees them, (N, S, S) uint8, and their points (N, 68, 2) px."""
    rows = np.unique(np.linspace(0, len(faces) - 1, min(count, len(faces))).astype(int))
    samples = [CropFace(policy)(faces[i]) for i in rows]
    images = [cv2.cvtColor(sample["image"], cv2.COLOR_RGB2GRAY) for sample in samples]
    return np.stack(images), np.stack([sample["keypoints"] for sample in samples])


def check_int8(quantized: Network, exact: Network, crops: np.ndarray, points: np.ndarray) -> tuple[float, float]:
    """NME (inter-ocular) on labelled crops, in 8 bits and exactly.

    Raises:
        InputError: it grew by more than it may.
    """
    after, before = (float(metrics.nme(network(crops).keypoints, points).mean()) for network in (quantized, exact))
    if not after - before <= LOSS:
        raise InputError(f"--int8: 8 bits cost {after - before:.2%} of NME here, nothing was written; leave it out")
    return after, before


def main() -> None:
    args = parse_arguments()
    output = args.output or args.checkpoint.with_suffix(".onnx")
    check_places([output], [args.checkpoint], args.overwrite, is_exported)
    network = TorchNetwork(args.checkpoint)
    training, kept_aside = open_faces(args.data or [default_data()], network.checkpoint["arguments"])
    crops, points = crops_of(kept_aside, COMPARED, network.policy)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "fp32.onnx")
        export_network(args.checkpoint, path, args.licence)
        exact = exported = OnnxNetwork(path)
        off = check_parity(exact, network, crops)
        print(f"on {len(crops)} faces the fp32 file is at most {off:.5f} px of the crop off the checkpoint")
        if args.int8:
            path = Path(folder, "int8.onnx")
            quantize(exact.path, path, crops_of(training, CALIBRATION, network.policy)[0])
            exported = OnnxNetwork(path)
            after, before = check_int8(exported, exact, crops, points)
            print(f"on {len(crops)} faces the NME (inter-ocular) is {after:.3%} in int8, {before:.3%} in fp32")
        with atomic_path(output) as temporary:
            temporary.write_bytes(path.read_bytes())
    print(f"{output}: {exported.metadata['precision']}, {output.stat().st_size / 1e6:.1f} MB; use it by")
    print(f"    python predict.py --checkpoint {output} --image photo.jpg")
    print(f'    python -c \'from face68 import Landmarker; print(Landmarker("{output}")("photo.jpg"))\'')


if __name__ == "__main__":
    run(main)
