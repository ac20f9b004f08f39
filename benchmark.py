"""Side-by-side measurements of finding faces and of predicting many photos.

    python benchmark.py detectors --data data        # recall, false boxes and NME by detector, on public test images
    python benchmark.py detectors --data 300w --split training    # or on any other labelled set
    python benchmark.py limits --data 300w --split training       # roll, size and yaw that it bears
    python benchmark.py stream folder/               # predict.py's stream against a plain loop over the same steps
    python benchmark.py start                        # one photo from cold, and its peak memory, against import torch
    python benchmark.py network                      # from crop and box to points, against the network alone

NME is inter-ocular (by the distance of the outer eye corners). Times are those of this machine as it is now: only
figures of the same run compare.
"""

import itertools
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from data_load import SPLITS, default_data, open_split
from exporting import export_network
from face68 import geometry
from face68.command.arguments import parser, positive_int, probability, run
from face68.command.inputs import demonstration_photo, find_images
from face68.detect import Found, Given, Haar, WholeFrame, open_detector
from face68.files import InputError
from face68.images import read_image
from face68.landmarker import MIN_FACE_SCORE, Landmarker, is_trusted
from face68.landmarks import FLIP
from face68.network import OnnxNetwork, shipped_network
from face68.photos import find_faces
from metrics import FAILURE, labelled_face, nme
from networks import SAVED_MODELS, default_network, open_network

PREDICT = Path(__file__).resolve().parent / "predict.py"
SHIPPED_CHECKPOINT = SAVED_MODELS / "pretrained.pt"


def labelled(args) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every --every'th image (H, W, 3) uint8 of the set with the 68 points (68, 2) px of its main face."""
    data = open_split(args.data, args.split)
    for i in range(0, len(data), args.every):
        yield data.image(i), data.keypoints[i]


def dlib_hog() -> Callable:
    """The peer: dlib's detector (`pip install dlib-bin`), HOG and a linear classifier (Dalal & Triggs, 2005)."""
    import dlib

    hog = dlib.get_frontal_face_detector()

    def find(image: np.ndarray) -> Found:
        rectangles, scores, _ = hog.run(image, 1, 0.0)  # enlarged twice: its window has 80 pixels
        boxes = [(r.left(), r.top(), r.right(), r.bottom()) for r in rectangles]
        return Found(np.array(boxes, dtype=np.float64).reshape(-1, 4), np.array(scores))

    return find


def compare_detectors(args) -> None:
    """Recall, other boxes and NME; a missed face counts with the points of a whole-frame guess."""
    network = open_network(args.network)
    samples = list(labelled(args))
    truth = np.stack([points for _, points in samples])
    detectors = {"none": WholeFrame(), "haar": Haar(), "yunet": open_detector("yunet")}
    if args.dlib:
        detectors["dlib HOG"] = dlib_hog()
    print(f"{network.path}, {len(samples)} photos; a face needs a face score of {args.min_face_score}")
    print("(in parentheses: as the detector found them, whatever their face score)")
    print("boxes       recall           other a photo  NME one pass    NME  FR@8%   ms")
    for name in ("truth", *detectors):
        guesses, once, seconds = [], [], 0.0
        hits, others = np.zeros(2), np.zeros(2)  # by the detector, and of these what the face score lets pass
        for image, points in samples:
            landmarker = Landmarker(network, detectors.get(name) or Given([geometry.box_of(points)]), min_face_score=0)
            start = time.perf_counter()
            found = landmarker.detect(image)
            seconds += time.perf_counter() - start
            all_faces = landmarker.faces([image], [found])[0]
            faces = [face for face in all_faces if is_trusted(face, args.min_face_score)]
            face = labelled_face(faces, points)
            matched = np.array([labelled_face(all_faces, points) is not None, face is not None])
            hits += matched
            others += np.array([len(all_faces), len(faces)]) - matched
            face = face or landmarker.faces([image], [WholeFrame()(image)])[0][0]
            guesses.append(face.keypoints)
            once.append(landmarker.predict([image], [face.box]).keypoints[0])
        one, all_passes = nme(np.stack(once), truth), nme(np.stack(guesses), truth)
        count = len(samples)
        print(
            f"{name:10}  {hits[1] / count:6.1%} ({hits[0] / count:6.1%})  "
            f"{others[1] / count:5.3f} ({others[0] / count:5.3f})  {one.mean():12.2%}  {all_passes.mean():5.2%}  "
            f"{(all_passes > FAILURE).mean():5.1%}  {1000 * seconds / count:4.1f}"
        )


def measure_limits(args) -> None:
    """NME and recall with YuNet when whole photos are turned, when they are shrunk, and by the yaw of the head."""
    landmarker = Landmarker(open_network(args.network), "yunet", min_face_score=args.min_face_score)
    samples = list(labelled(args))
    print(f"{landmarker.network.path}, {len(samples)} photos")
    for degrees in (0, 15, 30, 40, 50, 60, 90, 180):
        report(f"turned by {degrees}°", landmarker, [turned(*sample, degrees) for sample in samples])
    for side in (96, 64, 48, 32, 24, 16, 12):
        report(f"faces of {side} px", landmarker, [shrunk(*sample, side) for sample in samples])
    yaw = np.abs(estimate_yaw(np.stack([points for _, points in samples])))
    for low, high in itertools.pairwise((0, 15, 30, 45, 60, 90)):
        members = [sample for sample, degrees in zip(samples, yaw, strict=True) if low <= degrees < high]
        if members:
            report(f"yaw {low}° to {high}° ({len(members)})", landmarker, members)


def report(what: str, landmarker, samples: list[tuple[np.ndarray, np.ndarray]]) -> None:
    found = [(labelled_face(landmarker(image), points), points) for image, points in samples]
    hits = [(face.keypoints, points) for face, points in found if face]
    errors = nme(*(np.stack(arrays) for arrays in zip(*hits, strict=True))) if hits else np.array([math.nan])
    failed = (errors > FAILURE).mean()
    print(f"{what:20} found {len(hits) / len(samples):6.1%}, of these NME {errors.mean():6.2%}, FR@8% {failed:6.1%}")


def estimate_yaw(points: np.ndarray) -> np.ndarray:
    """Degrees by which each of many faces is turned, positive to the right of the picture: (N, 68, 2) → (N,).

    From the points alone: all faces are taken for views of one solid shape, which factorization finds together with
    each view's camera (Tomasi & Kanade, 1992), under weak perspective. Only the nose and the corners of the eyes are
    looked at, which expressions move least. People differ, so a single face's yaw is rough.
    """
    solid = [*range(27, 36), 36, 39, 42, 45]
    mirrored = [solid.index(FLIP[i]) for i in solid]
    right_eye, left_eye, bridge, tip, base = map(solid.index, (36, 45, 27, 30, 33))
    views = points[:, solid] - points[:, solid].mean(axis=1, keepdims=True)
    views = views / np.sqrt((views**2).mean(axis=(1, 2), keepdims=True))
    u, s, vt = np.linalg.svd(views.transpose(0, 2, 1).reshape(2 * len(views), -1), full_matrices=False)
    cameras, shape = (u * s)[:, :3].reshape(-1, 2, 3), vt[:3]  # (N, 2, 3) @ (3, P) ≈ the views
    # Each camera's rows must be orthogonal and of one length: linear in the symmetric matrix a @ a.T that mends them.
    i, j = np.triu_indices(3)
    x, y = cameras[:, 0], cameras[:, 1]
    equations = [p[:, i] * q[:, j] + p[:, j] * q[:, i] for p, q in ((x + y, x - y), (x, y))]
    values = np.linalg.svd(np.concatenate(equations) * np.where(i == j, 0.5, 1), full_matrices=False)[2][-1]
    metric = np.zeros((3, 3))
    metric[i, j] = metric[j, i] = values * np.sign(values[i == j].sum())
    lengths, axes = np.linalg.eigh(metric)
    mend = axes * np.sqrt(np.maximum(lengths, 1e-9))
    cameras, shape = cameras @ mend, np.linalg.solve(mend, shape)
    # The head's own axes: from eye to eye (the direction in which mirroring moves points), down the nose, forward.
    across = np.linalg.svd(shape - shape[:, mirrored])[0][:, 0]
    across *= np.sign(across @ (shape[:, left_eye] - shape[:, right_eye]))
    forward = np.cross(shape[:, base] - shape[:, bridge], across)
    forward /= np.linalg.norm(forward)
    away = np.cross(cameras[:, 0], cameras[:, 1])  # where each camera looks, in the coordinates of the shape
    # Depth may come out inside out, as in Necker's cube; the tip of the nose is in front.
    nose_in_front = np.sign(forward @ (shape[:, tip] - shape[:, [right_eye, left_eye]].mean(axis=1)))
    return np.degrees(np.arctan2(away @ across * nose_in_front, -away @ forward))


def turned(image: np.ndarray, points: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    height, width = image.shape[:2]
    side = math.ceil(math.hypot(height, width))
    matrix = geometry.similarity(((width - 1) / 2, (height - 1) / 2), ((side - 1) / 2,) * 2, degrees=degrees)
    return geometry.warp(image, matrix, side, side), geometry.transform_points(points, matrix)


def shrunk(image: np.ndarray, points: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
    """On gray, 640×480, the longer side of the points' box `side` pixels."""
    box = geometry.box_of(points)
    factor = side / max(box[2:] - box[:2])
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    frame = np.full((max(480, small.shape[0]), max(640, small.shape[1]), 3), 128, np.uint8)
    frame[: small.shape[0], : small.shape[1]] = small
    height, width = image.shape[:2]
    return frame, geometry.transform_points(points, geometry.resize_matrix(height, width, *small.shape[:2]))


def compare_stream(args) -> None:
    """Photos a second: reading, finding, predicting one after the other, and as a stream; and the stream's memory."""
    landmarker = Landmarker(open_network(args.network))
    paths = find_images(args.folder)
    paths = [str(paths[i % len(paths)]) for i in range(args.count)]
    for path in paths[:8]:
        landmarker(read_image(path))  # whatever happens once only
    for turn in (1, 2):
        start = time.perf_counter()
        plain = [landmarker(read_image(path)) for path in paths]
        middle = time.perf_counter()
        peaks, streamed = [], []
        for photo in find_faces(landmarker, paths, read_image):
            streamed.append(photo.faces)
            peaks.append(peak_memory())
        end = time.perf_counter()
        same = all(len(a) == len(b) for a, b in zip(plain, streamed, strict=True))
        print(
            f"round {turn}: plain loop {len(paths) / (middle - start):.1f} photos/s, "
            f"stream {len(paths) / (end - middle):.1f} photos/s, same faces: {same}; "
            f"peak memory after a tenth {peaks[len(peaks) // 10]:.0f} MiB, at the end {peaks[-1]:.0f} MiB"
        )


def measure_start(args) -> None:
    """One photo in a new process against `import torch` in one, in turn: seconds from cold, and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        predict = [
            sys.executable,
            str(PREDICT),
            "--image",
            str(args.photo),
            "--output",
            str(Path(folder, "marked.png")),
        ]
        commands = {
            "import torch": [sys.executable, "-c", "import torch"],
            "predict.py, the shipped network": [*predict, "--checkpoint", str(shipped_network())],
            "predict.py, its checkpoint in torch": [*predict, "--checkpoint", str(SHIPPED_CHECKPOINT)],
        }
        runs = {name: [] for name in commands}
        for i in range(args.rounds + 1):
            for name, command in commands.items():
                seconds_and_memory = from_cold(command)
                if i:  # the first round brings the files into memory
                    runs[name].append(seconds_and_memory)
    seconds = {name: np.array(of_name)[:, 0] for name, of_name in runs.items()}
    print_times(seconds, "s")
    for name, of_name in runs.items():
        print(f"{name:40}peak memory {np.median(np.array(of_name)[:, 1]):5.0f} MiB")


# Run in a process of its own, since a child's peak memory begins with that of the process that it is forked from.
FROM_COLD = """
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def from_cold(command: list[str]) -> tuple[float, float]:
    """Seconds that a command takes, and its peak memory in MiB. Not on Windows, which doesn't tell."""
    result = subprocess.run([sys.executable, "-c", FROM_COLD, *command], stdout=subprocess.PIPE, text=True, check=True)
    seconds, peak = map(float, result.stdout.split())
    return seconds, mebibytes(peak)


def compare_network(args) -> None:
    """Milliseconds of one pass and of all passes over a face, against the network alone in fp32, in turn."""
    photo = read_image(args.photo)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        export_network(SHIPPED_CHECKPOINT, Path(folder, "fp32.onnx"))
        fp32 = OnnxNetwork(Path(folder, "fp32.onnx"))
    shipped = OnnxNetwork(shipped_network())
    landmarker = Landmarker(shipped)
    found = Found(landmarker.detect(photo).boxes[:1], None)
    if not len(found.boxes):
        raise InputError(f"{args.photo}: no face is found there; give --photo another")
    crop = np.full((1, fp32.policy.size, fp32.policy.size), 128, np.uint8)
    steps = {
        "the network alone, fp32": lambda: fp32(crop),
        "the network alone, as shipped": lambda: shipped(crop),
        "crop to points, one pass": lambda: landmarker.predict([photo], found.boxes),
        "box to points, all passes": lambda: landmarker.faces([photo], [found]),
    }
    milliseconds = {name: [] for name in steps}
    for i in range(args.rounds + 20):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if i >= 20:  # the first ones warm up
                milliseconds[name].append(1000 * (time.perf_counter() - start))
    print_times({name: np.array(values) for name, values in milliseconds.items()}, "ms")


def print_times(times: dict[str, np.ndarray], unit: str) -> None:
    """A table of times measured in turn, (rounds,) each; ratios are those of the same round to the first row's."""
    first = next(iter(times.values()))
    print(f"{'':40}{'median':>10}{'least':>10}{'most':>10}   against the first")
    for name, values in times.items():
        figures = "".join(f"{value:7.2f} {unit:2}" for value in (np.median(values), values.min(), values.max()))
        print(f"{name:40}{figures}{np.median(values / first):12.2f} ×")


def mebibytes(peak: float) -> float:
    """`ru_maxrss` in MiB: macOS counts bytes, Linux KiB."""
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def peak_memory() -> float:
    """Of this process so far, in MiB; NaN where the system doesn't tell."""
    try:
        import resource  # not on Windows
    except ImportError:
        return math.nan
    return mebibytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def parse_arguments():
    p = parser(__doc__)
    p.add_argument(
        "--checkpoint", type=Path, default=default_network(), dest="network", help="the network, .onnx or .pt"
    )
    commands = p.add_subparsers(dest="command", required=True, metavar="command")
    for name, function in (("detectors", compare_detectors), ("limits", measure_limits)):
        c = commands.add_parser(name, help=function.__doc__.splitlines()[0])
        c.add_argument("--data", type=Path, default=default_data(), help="folder of the data set")
        c.add_argument("--split", choices=SPLITS, default="test", help="which of its images")
        c.add_argument("--every", type=positive_int, default=1, help="take only every n-th photo")
        c.add_argument("--min-face-score", type=probability, default=MIN_FACE_SCORE, help="as in predict.py")
        c.set_defaults(function=function)
    commands.choices["detectors"].add_argument("--dlib", action="store_true", help="also dlib's, where it is installed")
    c = commands.add_parser("stream", help=compare_stream.__doc__.splitlines()[0])
    c.add_argument("folder", type=Path, help="photos; they are repeated as often as needed")
    c.add_argument("--count", type=positive_int, default=1000, help="photos in all")
    c.set_defaults(function=compare_stream)
    for name, function, rounds in (("start", measure_start, 5), ("network", compare_network, 500)):
        c = commands.add_parser(name, help=function.__doc__.splitlines()[0])
        c.add_argument("--photo", type=Path, default=demonstration_photo(), help="a photo with a face")
        c.add_argument("--rounds", type=positive_int, default=rounds, help="times that each is measured")
        c.set_defaults(function=function)
    return p.parse_args()


def main() -> None:
    args = parse_arguments()
    args.function(args)


if __name__ == "__main__":
    run(main)
