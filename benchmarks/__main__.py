"""Side-by-side measurements: accuracy and time, of ours and of what others have for the same task.

    python benchmark.py photo --data data            # a photo of 640 px to its points: ms and NME, and where time goes
    python benchmark.py photo --data 300w --split training --val-fold 0 --every 5 --rounds 5
    python benchmark.py peers --data data            # photos at their own size: missed, NME, FR@8%, ms, MB, trained on
    python benchmark.py detectors --data data        # recall, false boxes and NME by detector, on public test images
    python benchmark.py limits --data 300w --split training       # roll, size and yaw that it bears
    python benchmark.py groups photos/               # faces found of those that somebody counted
    python benchmark.py pose                         # yaw, pitch and roll of drawn heads, whose pose is exact
    python benchmark.py films --film clip.mp4        # ms a frame of a film with 1, 2 and 4 faces
    python benchmark.py tracking --clip clip.mp4     # drawn films of known motion: identities, jitter, lag, accuracy
    python benchmark.py crowd                        # a photo with 64 faces, against one with one
    python benchmark.py network                      # from crop and box to points, against the network alone
    python benchmark.py stream folder/               # predict.py's stream against a plain loop over the same steps
    python benchmark.py start                        # one photo from cold, and its peak memory, against import torch
    python benchmark.py ablations --data data        # what each part of the better recipe brings: trains each
    python benchmark.py training --data data         # where a training step's time goes, its loader, and its memory
    python benchmark.py scaling --data data          # how time grows with the training faces, and with those of a photo

Each prints a table; --json FILE also writes it, beside the machine that it was measured on. `photo` draws speed.png and
photo_time.png into --output-dir, `training` training_time.png, `scaling` scaling.png. Others' programs are measured
where they are installed (see measuring/peers.py).

NME is inter-ocular (by the distance of the outer eye corners), FR@8% the share of faces above 8%. Times are those of
this machine as it is now: only figures of the same run compare. "ms p10" and "ms p90" enclose the middle 80%, and
"× name" is the median of the ratios to that one's time in the same round.
"""

import launch

import inspect
import io
import itertools
import math
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

import plots
import train
from compute import keep_freed_memory
from conventions import annotated
from curation.drawn import draw
from curation.drawn.films import FILMS
from curation.drawn.films import frames as drawn_frames
from data_load import DATA_DIR, FOLDS, SPLITS, Seeded, default_data, open_split, split_by_person
from exporting import export_network
from face68 import geometry
from face68.command.arguments import (
    add_overwrite,
    float_from_zero,
    parser,
    positive_int,
    probability,
    say,
    seed,
    whole_number,
)
from face68.command.inputs import demonstration_photo, find_images, glance_at_source
from face68.command.places import OUTPUTS, check_places, is_ours
from face68.detect import DETECTORS, Detector, Given, WholeFrame, open_detector
from face68.files import InputError
from face68.frames import FilmReader
from face68.images import read_image
from face68.landmarker import MIN_FACE_SCORE, Landmarker, Predictions, is_trusted
from face68.landmarks import inter_ocular
from face68.measures import angles, measure
from face68.network import FAMILY, FOR_FILMS, FOR_PHOTOS, Network, OnnxNetwork, shipped_network
from face68.photos import find_faces
from face68.tracking import Tracker
from benchmarks.ablations import ABLATIONS, train_each
from benchmarks.films import (
    SeenFrame,
    film_row,
    filtered,
    follow_actors,
    jitter,
    panels_of,
    points_of_longest,
    quiet_jitter,
    tiled,
)
from benchmarks.groups import count, read_marks
from benchmarks.limits import crowd, estimate_yaw, shrunk, thinned, turned
from benchmarks.peers import (
    Dlib,
    DlibDetector,
    EnlargedDlib,
    MediaPipe,
    MediaPipeTracking,
    Ours,
    RefinedMediaPipe,
    accuracy,
    installed,
)
from benchmarks.pose import heads, pose_row, seen_rotation
from benchmarks.tables import as_text, holds_tables, read_tables, write_tables
from benchmarks.timing import (
    clocked,
    divide,
    from_cold,
    in_turn,
    memory_now,
    one_core,
    part_rows,
    peak_memory,
    power_law,
    time_rows,
    timed,
    with_shares,
)
from benchmarks.training import divide_steps, end_epoch, loader_rows, sized
from metrics import failure_rate, labelled_face, nme
from networks import SAVED_MODELS, chosen_network, open_framing, open_network
from runs import Settings
from tasks import Task, task_of

PREDICT = Path(__file__).resolve().parent / "predict.py"
MARKS = DATA_DIR / "group_photos.csv"
SHIPPED_CHECKPOINT = SAVED_MODELS / "pretrained.pt"
SPEED, PHOTO_TIME, STEADY = "speed.png", "photo_time.png", "steady.png"
TRAINING_TIME, SCALING = "training_time.png", "scaling.png"
PICTURES = {  # by command
    "photo": (SPEED, PHOTO_TIME),
    "tracking": (STEADY,),
    "training": (TRAINING_TIME,),
    "scaling": (SCALING,),
}
FILM = DATA_DIR / "film.mp4"
WARM_UP = 10  # frames

PHOTO_SIDE = 640  # px, the longer side of a photo whose time is measured
WRONG = 0.2  # from this NME on points are not inexact but elsewhere
CROWD = 8  # faces across and down
SIZES = (0.25, 0.5, 1, 2, 4)  # of a training set, × --faces
CROWDS, ACROSS = (1, 2, 4, 8, 16, 32), 6  # faces of a photo, and the places for them across and down
CPU = torch.device("cpu")
RECIPE = {  # options of train.py that its measurements take too
    "recipe": "loss, optimizer and lr",
    "precision": "of most of what the network computes",
    "batch_size": "faces a step",
    "workers": "processes that prepare samples",
}

Tables = dict[str, list[dict]]  # what a command measures: tables by name, their rows with the same columns


# --- Photos and what finds faces in them ----------------------------------------------------------------------


def labelled(args) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every --every'th image (H, W, 3) uint8 of the set or its fold, with the 68 points (68, 2) px of its main face."""
    data = open_split(args.data, args.split)
    rows = range(len(data))
    if args.val_fold is not None:
        _, rows = split_by_person(data.people, args.val_fold, args.folds)
    if not rows:
        raise InputError(f"{args.data}: no labelled {args.split} face here; choose another split or fold")
    for i in rows[:: args.every]:
        yield data.image(i), data.keypoints[i]


def annotators(args) -> str:
    """Who labelled the set, see conventions.py."""
    return open_split(args.data, args.split).annotators[0]


def as_labelled(points: Sequence[np.ndarray], network: Network, annotators: str) -> np.ndarray:
    """A network's points of N faces, (68, 2) px each, as a set's annotators would have put them: (N, 68, 2)."""
    return annotated(Predictions(np.stack(points), None, None), network, annotators).keypoints


def resized(image: np.ndarray, points: np.ndarray, longer: int) -> tuple[np.ndarray, np.ndarray]:
    """With a longer side of `longer` pixels, whatever it was, the points along."""
    height, width = image.shape[:2]
    factor = longer / max(height, width)
    image = geometry.resize(image, max(1, round(height * factor)), max(1, round(width * factor)))
    return image, geometry.transform_points(points, geometry.resize_matrix(height, width, *image.shape[:2]))


def as_jpeg(image: np.ndarray) -> bytes:
    """An image (H, W, 3) uint8 RGB as a JPEG file, as cameras write it: of high quality."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=92)
    return file.getvalue()


def landmarker_of(network: Path, *options) -> Landmarker:
    """As predict.py has it; options: as `Landmarker` takes them."""
    return Landmarker(open_network(network), *options, framing=open_framing(network))


def open_detectors(first: str = "auto") -> dict[str, Detector]:
    """All detectors by name, the one asked for first; but for those that are not here, of which a line on stderr tells.

    Raises:
        InputError: the first one is not here.
    """
    detector = open_detector(first)
    opened = {detector.name: detector}
    for name in DETECTORS:
        if name not in ("auto", *opened):
            try:
                opened[name] = open_detector(name)
            except InputError as error:
                print(f"{name} is not measured: {error}", file=sys.stderr)
    return opened


# --- What is measured -----------------------------------------------------------------------------------------


def compare_photo(args) -> Tables:
    """A photo of 640 px to all its points: ms and NME, ours and others'; and where our time goes, from JPEG to JPEG.

    "NME offsets off" is that of the faces found, less each point's mean offset, since annotations differ in where
    points belong (see `peers.without_offsets`); in "NME all" a face that was missed counts as 30%.
    """
    photos, truth = [], []
    for sample in labelled(args):
        image, points = resized(*sample, PHOTO_SIDE)
        photos.append(as_jpeg(image))
        truth.append(points)
    with one_core():
        detector = open_detector(args.detector)
        ours = {n: landmarker_of(p, detector, args.min_face_score) for n, p in args.networks.items()}
        peers = {peer.name: peer for peer in installed(MediaPipe, RefinedMediaPipe, Dlib)}
        samples = ((read_image(photo), points) for photo, points in zip(photos, truth, strict=True))
        rows = system_rows(ours | peers, peers, samples, args.rounds, annotators(args))
        landmarker = clocked(landmarker_of(args.network, detector, args.min_face_score))
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder, "drawn.jpg")
            runs = [divide(landmarker, photo, picture) for photo in photos for _ in range(args.rounds)]
    return {"photo": rows, "parts": part_rows(runs)}


def compare_peers(args) -> Tables:
    """Ours and others on photos at their own size: missed, NME, FR@8%, ms, MB of model files, and what trained them.

    Columns as those of `photo`; in FR@8%, too, a missed face counts. Ours is an .onnx with our own detector.
    """
    with one_core():
        ours = [Ours(name, path) for name, path in args.networks.items()]
        systems = [*ours, *installed(MediaPipe, RefinedMediaPipe, Dlib, EnlargedDlib)]
        named = {system.name: system for system in systems}
        rows = system_rows(named, [ours[-1].name], labelled(args), args.rounds, annotators(args))
    made_of = [{"mb": megabytes(system.files), "trained_on": system.trained_on} for system in systems]
    return {"peers": [row | facts for row, facts in zip(rows, made_of, strict=True)]}


def megabytes(files: Iterable[Path]) -> float:
    """That files take on the disk, of 1,000,000 bytes each."""
    return sum(file.stat().st_size for file in files) / 1e6


def system_rows(
    systems: dict[str, Callable],
    against: Iterable[str],
    samples: Iterable[tuple[np.ndarray, np.ndarray]],
    rounds: int,
    annotators: str,
) -> list[dict]:
    """A row for each system, RGB image to faces: its times on all photos, its ratios to some, and its accuracy.

    samples: photos (H, W, 3) uint8, each with the points (68, 2) px of its face, which `annotators` labelled.
    """
    times, predicted, truth = {name: [] for name in systems}, {name: [] for name in systems}, []
    for image, points in samples:
        truth.append(points)
        for name, find in systems.items():  # which warms it up, too
            face = labelled_face(find(image), points)
            predicted[name].append(face.keypoints if face else np.full_like(points, np.nan))
        steps = {name: partial(find, image) for name, find in systems.items()}
        for name, values in in_turn(timed(steps), rounds).items():
            times[name].append(values)
    rows = time_rows({name: np.stack(values) for name, values in times.items()}, against)
    for name, find in systems.items():
        if isinstance(find, Landmarker):
            predicted[name] = as_labelled(predicted[name], find.network, annotators)
    return [row | accuracy(np.stack(predicted[row["name"]]), np.stack(truth)) for row in rows]


def compare_detectors(args) -> Tables:
    """Recall, other boxes and NME by detector; a missed face counts with the points of a whole-frame guess.

    A face needs a face score of --min-face-score; "any score": as the detector found them, whatever their face score.
    """
    landmarker, min_face_score, theirs = landmarker_of(args.network), args.min_face_score, annotators(args)
    samples = list(labelled(args))
    detectors = open_detectors() | {peer.name: peer for peer in installed(DlibDetector)}
    finders = {"truth": lambda points: Given([geometry.box_of(points)])}
    finders |= {name: lambda _, detector=detector: detector for name, detector in detectors.items()}
    with one_core():
        rows = [
            {"name": name} | detector_row(landmarker, detector_of, samples, min_face_score, theirs)
            for name, detector_of in finders.items()
        ]
    return {"detectors": rows}


def detector_row(
    ours: Landmarker,
    detector_of: Callable[[np.ndarray], Detector],
    samples: Sequence,
    min_face_score: float,
    annotators: str,
) -> dict:
    """How well faces are found and read where a detector says; `detector_of` a photo's points, since one knows them."""
    times, guesses, once = [], [], []
    hits, others = np.zeros(2), np.zeros(2)  # of those that the face score lets pass, and of all
    for image, points in samples:
        landmarker = Landmarker(ours.network, detector_of(points), min_face_score=0, framing=ours.framing)
        start = time.perf_counter()
        found = landmarker.detect(image)
        times.append(1000 * (time.perf_counter() - start))
        (all_faces,) = landmarker.faces([image], [found])
        faces = [face for face in all_faces if is_trusted(face, min_face_score)]
        face = labelled_face(faces, points)
        matched = np.array([face is not None, labelled_face(all_faces, points) is not None])
        hits += matched
        others += np.array([len(faces), len(all_faces)]) - matched
        face = face or landmarker.faces([image], [WholeFrame()(image)])[0][0]
        guesses.append(face.keypoints)
        once.append(landmarker.predict([image], [face.box]).keypoints[0])
    truth, count = np.stack([points for _, points in samples]), len(samples)
    guesses, once = (as_labelled(points, ours.network, annotators) for points in (guesses, once))
    errors = nme(guesses, truth)
    return {
        "photos": count,
        "found": hits[0] / count,
        "found_any_score": hits[1] / count,
        "others_a_photo": others[0] / count,
        "others_any_score": others[1] / count,
        "nme_one_pass": nme(once, truth).mean(),
        "nme": errors.mean(),
        "fr8": failure_rate(errors),
        "ms_to_find": np.median(times),
    }


def measure_limits(args) -> Tables:
    """NME and recall when whole photos are turned, when they are shrunk, and by the yaw of the head.

    "wrong": how many of the faces that are returned have an NME above 20%, so that their points are elsewhere.
    """
    landmarker = landmarker_of(args.network, args.detector, args.min_face_score)
    samples = list(labelled(args))
    cases = {f"turned by {d}°": itertools.starmap(partial(turned, degrees=d), samples) for d in range(0, 360, 30)}
    sides = (96, 64, 48, 32, 24, 16, 12)
    cases |= {f"faces of {side} px": itertools.starmap(partial(shrunk, side=side), samples) for side in sides}
    cases |= by_yaw(samples)
    found = partial(as_labelled, network=landmarker.network, annotators=annotators(args))
    return {"limits": [{"name": name} | limit_row(landmarker, case, found) for name, case in cases.items()]}


def by_yaw(samples: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, list]:
    """The photos by how far the head is turned to either side; none where there is a single one, which doesn't tell."""
    if len(samples) < 2:
        return {}
    yaw = np.abs(estimate_yaw(np.stack([points for _, points in samples])))
    bins = itertools.pairwise((0, 15, 30, 45, 60, 90))
    cases = {f"yaw {low}° to {high}°": np.flatnonzero((low <= yaw) & (yaw < high)) for low, high in bins}
    return {name: [samples[i] for i in members] for name, members in cases.items() if len(members)}


def limit_row(
    find: Callable, samples: Iterable[tuple[np.ndarray, np.ndarray]], as_labelled: Callable = np.stack
) -> dict:
    """How many of the labelled faces are found, and how well: NaN where none is.

    find: what finds the faces of a photo. as_labelled: makes of their points (68, 2) what is compared, see above.
    """
    errors = []
    for image, points in samples:
        face = labelled_face(find(image), points)
        errors.append(nme(as_labelled([face.keypoints])[0], points) if face else math.nan)
    found = np.array(errors)[~np.isnan(errors)]
    return {
        "photos": len(errors),
        "found": len(found) / len(errors),
        "nme_found": found.mean() if len(found) else math.nan,
        "fr8_found": failure_rate(found) if len(found) else math.nan,
        "wrong": int((found > WRONG).sum()),
    }


def compare_groups(args) -> Tables:
    """Of all faces that a person marked on group photos (data/group_photos.csv) how many each detector finds.

    "others" are faces found where nobody marked one; doubtful marks count for nothing.
    """
    ours, marked = landmarker_of(args.network), read_marks(MARKS)
    photos = {name: read_image(args.folder / name) for name in marked}
    sure = sum(not mark.doubtful for marks in marked.values() for mark in marks)
    rows = []
    for name, detector in (open_detectors() | {peer.name: peer for peer in installed(DlibDetector)}).items():
        landmarker = Landmarker(ours.network, detector, framing=ours.framing)
        found, others = np.sum([count(landmarker(image), marked[photo]) for photo, image in photos.items()], axis=0)
        figures = {"photos": len(photos), "faces": sure, "found": found / sure, "others_a_photo": others / len(photos)}
        rows.append({"name": name} | figures)
    return {"groups": rows}


def measure_pose(args) -> Tables:
    """Median errors in degrees of yaw, pitch and roll on drawn heads by |yaw|: from exact points, and from found ones.

    Angles are those to the line of sight (see face68/measures.py).
    """
    landmarker = landmarker_of(args.network, args.detector)
    true, exact, found = [], [], []
    for index, (person, video, frame) in enumerate(heads(args.heads)):
        image, labels = draw(person, video, frame, index)
        face = labelled_face(landmarker(image), labels)
        true.append(angles(seen_rotation(frame)))
        exact.append(measure(labels)[:3])
        found.append(measure(face.keypoints)[:3] if face else (math.nan,) * 3)
    true, exact, found = map(np.array, (true, exact, found))
    rows = []
    for points, poses in (("exact", exact), ("found", found)):
        for low, high in itertools.pairwise((0, 15, 30, 45, 60, 90)):
            members = (low <= np.abs(true[:, 0])) & (np.abs(true[:, 0]) < high)
            if members.any():
                rows.append(pose_row(f"{points} points, yaw {low}° to {high}°", poses[members], true[members]))
    return {"pose": rows}


def compare_films(args) -> Tables:
    """Milliseconds a frame of a film with 1, 2 and 4 faces, one core, against MediaPipe's tracking."""
    frames = [frame.image for frame in FilmReader(args.film, end=args.seconds)]
    rows = []
    for faces in (1, 2, 4):
        pictures = [tiled(frame, faces) for frame in frames]
        trackers = {"face68": Tracker(landmarker_of(args.network))}
        trackers |= {peer.name: peer for peer in installed(MediaPipeTracking, faces=faces)}
        with one_core():
            times, found = track_in_turn(trackers, pictures)
        against = [name for name in times if name != "face68"]
        for row in time_rows(times, against):
            name = row.pop("name")
            figures = {"name": f"{name}, {faces} faces" if faces > 1 else f"{name}, 1 face"} | row
            rows.append(figures | {"found": np.mean(found[name]) / faces})
    return {"films": rows}


def track_in_turn(trackers: dict[str, Callable], pictures: Sequence[np.ndarray]) -> tuple[dict, dict]:
    """Milliseconds that each takes for each picture, once warm, and how many faces it finds there."""
    times, found = {name: [] for name in trackers}, {name: [] for name in trackers}
    for picture in pictures:
        for name in random.sample(list(trackers), len(trackers)):
            start = time.perf_counter()
            said = trackers[name](picture)
            times[name].append(1000 * (time.perf_counter() - start))
            found[name].append(said if isinstance(said, int) else len(said))
    return {name: np.array(values[WARM_UP:]) for name, values in times.items()}, found


def measure_tracking(args) -> Tables:
    """Drawn films, whose truth is known: identities, accuracy, jitter and lag by how points are filtered; and clips.

    "photos": each frame by itself, as predict.py does; else as video.py does, by --smooth. "share searched": of the
    frames, of which all was searched. Jitter is that of the points' second differences, in distances of the eyes; of
    clips, whose truth nobody knows, also in the calmer half of the frames. "×": how much less than off. Lags are in
    frames.
    """
    landmarker, rows, panels = landmarker_of(args.network), [], []
    for name in args.films:
        followed, photos, searched = watch_film(landmarker, name)
        films = {"photos": photos} | filtered(followed)
        figures = {mode: film_row(follow_actors(film)) for mode, film in films.items()}
        for mode, film in films.items():
            row = {
                "name": f"{name}, {mode}",
                "frames": len(film),
                "share_searched": 1.0 if mode == "photos" else searched,
            }
            rows.append(row | figures[mode] | {"less_jitter": figures["off"]["jitter"] / figures[mode]["jitter"]})
        panels += panels_of(name, filtered(followed))
    if panels:
        plots.save_figure(plots.plot_signals(panels), args.output_dir / STEADY)
    clips = [row for path in args.clip or () for row in clip_rows(landmarker, path)]
    return ({"films": rows} if rows else {}) | ({"clips": clips} if clips else {})


def watch_film(landmarker: Landmarker, name: str) -> tuple[list[SeenFrame], list[SeenFrame], float]:
    """A drawn film as it is followed, unfiltered, and as photos; and the share of the frames that were searched."""
    tracker, followed, photos = Tracker(landmarker, smooth=False), [], []
    for image, moment, actors in drawn_frames(name):
        followed.append(SeenFrame(moment, actors, tracker(image, moment)))
        photos.append(SeenFrame(moment, actors, landmarker(image)))
    return followed, photos, tracker.searches / tracker.frames


def clip_rows(landmarker: Landmarker, path: Path) -> list[dict]:
    """The jitter of the face that a clip shows for longest."""
    tracker = Tracker(landmarker, smooth=False)
    followed = [SeenFrame(frame.time, (), tracker(frame.image, frame.time)) for frame in FilmReader(path)]
    if not any(frame.faces for frame in followed):
        raise InputError(f"{path}: no face is found there; give another clip")
    films = {mode: points_of_longest(film) for mode, film in filtered(followed).items()}
    eyes = inter_ocular(films["offline"])
    rows = []
    for mode, points in films.items():
        calm = quiet_jitter(points, films["offline"])
        row = {"name": f"{Path(path).stem}, {mode}", "frames": len(points)}
        row |= {
            "share_searched": tracker.searches / tracker.frames,
            "jitter": jitter(points, eyes),
            "jitter_calm": calm,
        }
        first = rows[0] if rows else row
        less = {f"less_{name}": first[name] / row[name] for name in ("jitter", "jitter_calm")}
        rows.append(row | less)
    return rows


def measure_crowd(args) -> Tables:
    """A photo with 64 faces against one of the same size with one: it is to take at most 40 times as long."""
    with one_core():
        landmarker = landmarker_of(args.network, args.detector)
        one, many = crowd(read_image(args.photo), CROWD)
        pictures = {"one face": one, f"{CROWD**2} faces": many}
        counts = {name: len(landmarker(picture)) for name, picture in pictures.items()}
        steps = {name: partial(landmarker, picture) for name, picture in pictures.items()}
        rows = time_rows(in_turn(timed(steps), args.rounds, warm_up=1), ["one face"])
    return {"crowd": [row | {"faces_found": counts[row["name"]]} for row in rows]}


def compare_network(args) -> Tables:
    """Milliseconds of one pass and of all passes over a face, against the base alone in fp32, in turn."""
    photo = read_image(args.photo)
    with tempfile.TemporaryDirectory() as folder:
        export_network(SHIPPED_CHECKPOINT, Path(folder, "fp32.onnx"))
        networks = {"base in fp32": OnnxNetwork(Path(folder, "fp32.onnx"))}
    networks |= {name: OnnxNetwork(path) for name, path in args.networks.items()}
    landmarker = landmarker_of(args.network)
    found = Given(landmarker.detect(photo).boxes[:1])(photo)
    if not len(found.boxes):
        raise InputError(f"{args.photo}: no face is found there; give --photo another")
    steps = {
        f"{name}, alone": partial(network, np.full((1, network.policy.size, network.policy.size), 128, np.uint8))
        for name, network in networks.items()
    }
    steps |= {
        "crop to points, one pass": partial(landmarker.predict, [photo], found.boxes),
        "box to points, all passes": partial(landmarker.faces, [photo], [found]),
    }
    with one_core():
        times = in_turn(timed(steps), args.rounds, warm_up=20)
    return {"network": time_rows(times, ["base in fp32, alone"])}


def compare_stream(args) -> Tables:
    """Photos a second: reading, finding, predicting one after the other, and as a stream; and the stream's memory.

    The stream reads as predict.py --no-pictures does, large JPEG files at a half, quarter or eighth.
    """
    landmarker = landmarker_of(args.network)
    paths = find_images(args.folder)
    paths = [str(paths[i % len(paths)]) for i in range(args.count)]
    for path in paths[:8]:
        landmarker(read_image(path))  # whatever happens once only
    rows = []
    for turn in (1, 2):
        start = time.perf_counter()
        plain = [landmarker(read_image(path)) for path in paths]
        middle = time.perf_counter()
        peaks, streamed = [], []
        for photo in find_faces(landmarker, paths, read_image, glance_at_source):
            streamed.append(photo.faces)
            peaks.append(peak_memory())
        end = time.perf_counter()
        rows.append(
            {
                "name": f"round {turn}",
                "photos": len(paths),
                "rate_plain_loop": len(paths) / (middle - start),
                "rate_stream": len(paths) / (end - middle),
                "same_faces": all(len(a) == len(b) for a, b in zip(plain, streamed, strict=True)),
                "mib_after_a_tenth": peaks[len(peaks) // 10],
                "mib_at_the_end": peaks[-1],
            }
        )
    return {"stream": rows}


def measure_start(args) -> Tables:
    """One photo in a new process against `import torch` in one, in turn: milliseconds from cold, and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        marked = Path(folder, "marked.png")
        predict = [sys.executable, str(PREDICT), "--image", str(args.photo), "--output", str(marked), "--checkpoint"]
        commands = {
            "import torch": [sys.executable, "-c", "import torch"],
            "predict.py, the shipped network": [*predict, str(shipped_network())],
            "predict.py, its checkpoint in torch": [*predict, str(SHIPPED_CHECKPOINT)],
        }
        measures = {name: partial(from_cold, command) for name, command in commands.items()}
        runs = in_turn(measures, args.rounds, warm_up=1)  # which brings the files into memory
    rows = time_rows({name: of_name[:, 0] for name, of_name in runs.items()}, ["import torch"])
    return {"start": [row | {"mib_peak": np.median(runs[row["name"]][:, 1])} for row in rows]}


def measure_training(args) -> Tables:
    """Where the time of a training step goes on the CPU, samples a second against a plain loader's, and memory.

    Steps are train.py's own, by its options; the first ones don't count. "loading" is all that a step waits for its
    batch; a validation and the checkpoints of an epoch are shared out among its steps. The plain loader decodes a file
    at each access, then rescales, crops and normalises; both run on one core. --copies: the training faces so many
    times over, of several numbers each in a process of its own. "MiB mapped" are programs and decoded images, which the
    system may take back.
    """
    settings = training_settings(args)
    task = task_of(settings)
    train_data, val_data = task.load()
    tables = {}
    if args.rounds:
        tables["loaders"] = loader_rows(train_data, settings.batch_size, args.samples, args.rounds)
    if len(args.copies) == 1:
        repeated = sized(train_data, args.copies[0] * len(train_data))
        each = [step_tables(begin(settings, task, repeated), repeated, val_data, args)]
    else:
        each = [in_own_process(args, copies) for copies in args.copies]
    parts, rows = each[0]["parts"], [row for one in each for row in one["training"]]
    plots.save_figure(plots.plot_parts(parts, "a training step"), args.output_dir / TRAINING_TIME)
    return {"parts": parts, "training": rows} | tables


def training_options(args) -> list[str]:
    """Those of the options of train.py that were given here, as they would be typed."""
    given = {f"--{name.replace('_', '-')}": getattr(args, name) for name in ("data", *RECIPE)}
    return [str(word) for option in given.items() if option[1] is not None for word in option]


def training_settings(args) -> Settings:
    """Those of train.py on the CPU; what isn't given here is its default."""
    return train.parse_arguments(["--device", CPU.type, *training_options(args)])


def begin(settings: Settings, task: Task, data: Seeded) -> train.Training:
    """A training of train.py's before its first step."""
    keep_freed_memory()
    return train.Training(train.create_untrained(settings, CPU, task.conventions), task, settings, data, CPU)


def step_tables(training: train.Training, data: Seeded, val_data: Dataset, args) -> Tables:
    """What a step's time divides into, means in ms; and photos a second, and this process's memory."""
    laps = divide_steps(train.train_epoch, training, data, args.warm_up, args.steps)
    steps = {name: values.mean() for name, values in laps.items()}
    ends = end_epoch(train.describe, training, val_data)
    ends = {name: ms / training.steps_per_epoch for name, ms in ends.items()}
    parts = with_shares([{"name": name, "ms": ms} for name, ms in (steps | ends).items()])
    photos = 1000 * min(training.settings.batch_size, len(data))
    row = {
        "name": f"{args.copies[0]} × the faces",
        "faces": len(data),
        "rate_steps": photos / sum(steps.values()),
        "rate": photos / sum(part["ms"] for part in parts),
    }
    return {"parts": parts, "training": [row | memory_now() | {"mib_peak": peak_memory()}]}


def in_own_process(args, copies: int) -> Tables:
    """`step_tables` of the training faces so many times over, by this command in a process of its own."""
    options = {"--copies": copies, "--steps": args.steps, "--warm-up": args.warm_up, "--rounds": 0}
    with tempfile.TemporaryDirectory() as folder:
        places = {"--output-dir": folder, "--json": Path(folder, "tables.json")}
        line = [str(word) for option in (options | places).items() for word in option]
        from_cold([sys.executable, __file__, "training", *training_options(args), *line])
        return read_tables(places["--json"])


def measure_scaling(args) -> Tables:
    """How the time of a training epoch grows with its faces, and that of a photo with those it shows; the exponents.

    Epochs are train.py's own, without validation, on the CPU, of 1/4, 1/2, 1, 2 and 4 × --faces training faces, some of
    them several times if need be. Photos have one size, 1 to 32 faces, one core. The exponent is that of the power law
    through the medians, by least squares of the logarithms: 1 is proportional.
    """
    epochs, photos = epoch_times(args), crowd_times(args)
    panels = [
        growth("A training epoch", "training faces", "s", epochs, "s"),
        growth("A photo", "faces that it shows", "ms, one core", photos, "ms"),
    ]
    plots.save_figure(plots.plot_scaling(panels), args.output_dir / SCALING)
    exponents = [{"name": f"{panel['title']}, {panel['xlabel']}", "exponent": panel["exponent"]} for panel in panels]
    return {"epochs": epochs, "photos": photos, "exponents": exponents}


def compare_ablations(args) -> Tables:
    """What each part of the better recipe brings: NME (inter-ocular) on people that training never saw, after --epochs.

    Trainings of train.py that differ in one option, by each of --seeds in turn; others are its defaults. The mean over
    the seeds, half of their range, and the seconds of an epoch.
    """
    common = ["--epochs", str(args.epochs)] + [part for path in args.data for part in ("--data", str(path))]
    return {"ablations": train_each(args.only or list(ABLATIONS), common, args.seeds, say)}


def epoch_times(args) -> list[dict]:
    """A row for each of SIZES: seconds of a training epoch."""
    settings = training_settings(args)
    task = task_of(settings)
    train_data, _ = task.load()
    epochs = {}
    for size in SIZES:
        faces = max(1, round(size * args.faces))
        data = sized(train_data, faces)
        epochs[faces] = partial(train_through, begin(settings, task, data), data)
    next(iter(epochs.values()))()  # whatever happens once only
    rows = []
    for row in time_rows(in_turn(timed(epochs), args.rounds), against=()):
        faces, seconds = row["name"], row["ms"] / 1000
        rows.append({"name": f"{faces} faces", "faces": faces, "s": seconds, "rate": faces / seconds})
    return rows


def train_through(training: train.Training, data: Seeded) -> None:
    """One epoch."""
    train.train_epoch(training, data, SimpleNamespace(requested=False))
    training.finish_epoch()


def crowd_times(args) -> list[dict]:
    """A row for each of CROWDS: milliseconds of a photo that shows so many faces."""
    with one_core():
        landmarker = landmarker_of(args.network, args.detector)
        _, many = crowd(read_image(args.photo), ACROSS)
        pictures = {count: thinned(many, ACROSS, count) for count in CROWDS}
        found = {count: len(landmarker(picture)) for count, picture in pictures.items()}
        steps = {count: partial(landmarker, picture) for count, picture in pictures.items()}
        rows = time_rows(in_turn(timed(steps), args.rounds, warm_up=1), against=())
    counts = [{"name": f"shows {count}", "faces": count, "faces_found": found[count]} for count in CROWDS]
    return [{**row, **of_photo} for row, of_photo in zip(rows, counts, strict=True)]


def growth(title: str, xlabel: str, ylabel: str, rows: Sequence[dict], column: str) -> dict:
    """A panel of `plots.plot_scaling`: a column of rows by their faces."""
    sizes, values = [row["faces"] for row in rows], [row[column] for row in rows]
    exponent, factor = power_law(sizes, values)
    law = {"sizes": sizes, "values": values, "exponent": exponent, "factor": factor}
    return {"title": title, "xlabel": xlabel, "ylabel": ylabel} | law


# --- The command ----------------------------------------------------------------------------------------------


COMMANDS = {
    "photo": compare_photo,
    "peers": compare_peers,
    "detectors": compare_detectors,
    "limits": measure_limits,
    "groups": compare_groups,
    "pose": measure_pose,
    "films": compare_films,
    "tracking": measure_tracking,
    "crowd": measure_crowd,
    "network": compare_network,
    "stream": compare_stream,
    "start": measure_start,
    "training": measure_training,
    "scaling": measure_scaling,
    "ablations": compare_ablations,
}


def parse_arguments():
    p = parser(__doc__)
    p.add_argument(
        "--checkpoint",
        type=Path,
        dest="network",
        metavar="|".join((*FAMILY, "FILE")),
        help="the network, .onnx or .pt (default: as predict.py or video.py; photo and peers: all shipped)",
    )
    commands = p.add_subparsers(dest="command", required=True, metavar="command")
    for name, function in COMMANDS.items():
        text = inspect.getdoc(function)
        c = commands.add_parser(name, help=text.splitlines()[0], description=text, formatter_class=p.formatter_class)
        c.add_argument("--json", type=Path, metavar="FILE", help="also write the tables to this file")
        add_overwrite(c)
    choices = commands.choices
    for c in (choices["photo"], choices["peers"], choices["detectors"], choices["limits"]):
        c.add_argument("--data", type=Path, default=default_data(), help="folder of the data set")
        c.add_argument("--split", choices=SPLITS, default="test", help="which of its images")
        c.add_argument("--val-fold", type=whole_number, help="only the people of this fold (default: all)")
        c.add_argument("--folds", type=positive_int, default=FOLDS, help="of how many folds, as in training")
        c.add_argument("--every", type=positive_int, default=1, help="take only every n-th photo")
    for c in (choices["photo"], choices["detectors"], choices["limits"]):
        c.add_argument("--min-face-score", type=probability, default=MIN_FACE_SCORE, help="as in predict.py")
    for c in (choices[name] for name in ("photo", "limits", "pose", "crowd", "scaling")):
        c.add_argument("--detector", choices=DETECTORS, default="auto", help="what finds the faces")
    for name in ("crowd", "network", "start", "scaling"):
        choices[name].add_argument("--photo", type=Path, default=demonstration_photo(), help="a photo with a face")
    of_rounds = {"photo": 3, "peers": 3, "crowd": 20, "network": 500, "start": 5, "scaling": 5}
    for name, rounds in of_rounds.items():
        choices[name].add_argument("--rounds", type=positive_int, default=rounds, help="times that each is measured")
    choices["pose"].add_argument("--heads", type=positive_int, default=200, help="how many are drawn")
    for c in (choices[name] for name in PICTURES):
        c.add_argument("--output-dir", type=Path, default=OUTPUTS, help="where the pictures go")
    for c in (choices["training"], choices["scaling"]):
        c.add_argument("--data", type=Path, default=default_data(), help="folder of the data set")
    choices["ablations"].add_argument(
        "--data", type=Path, nargs="+", default=[default_data()], help="folders of the data sets"
    )
    for c in (choices["training"], choices["scaling"]):
        for name, text in RECIPE.items():
            c.add_argument(f"--{name.replace('_', '-')}", help=f"{text}, as in train.py")
    _add_training(choices["training"])
    choices["scaling"].add_argument("--faces", type=positive_int, default=400, help="training faces of the 1 × epoch")
    choices["ablations"].add_argument("--epochs", type=positive_int, default=4, help="of each training")
    choices["ablations"].add_argument("--seeds", type=seed, nargs="+", default=[0, 1], help="one training by each")
    choices["ablations"].add_argument(
        "--only", nargs="+", choices=ABLATIONS, metavar="NAME", help=f"of {'; '.join(ABLATIONS)} (default: all)"
    )
    choices["films"].add_argument("--film", type=Path, default=FILM, help="a film with one face")
    choices["films"].add_argument("--seconds", type=float_from_zero, default=4.0, help="how much of it")
    choices["tracking"].add_argument(
        "--films", nargs="*", choices=FILMS, metavar="NAME", default=list(FILMS), help=f"of {', '.join(FILMS)}"
    )
    choices["tracking"].add_argument("--clip", action="append", type=Path, help="a film with a face, of unknown truth")
    choices["groups"].add_argument("folder", type=Path, help="of afw/ and lfpw_train/, photos of 300-W's training part")
    choices["stream"].add_argument("folder", type=Path, help="photos; they are repeated as often as needed")
    choices["stream"].add_argument("--count", type=positive_int, default=1000, help="photos in all")
    args = p.parse_args()
    size = FOR_FILMS if args.command in ("films", "tracking") else FOR_PHOTOS
    given, args.networks = args.network, {f"ours, {size}": shipped_network(size) for size in FAMILY}
    args.network = chosen_network(given, size)
    if args.network not in args.networks.values() or given is not None:
        args.networks = {"ours": args.network}
    return args


def _add_training(c) -> None:
    c.add_argument("--steps", type=positive_int, default=150, help="that are measured")
    c.add_argument("--warm-up", type=whole_number, default=20, help="steps before these")
    c.add_argument(
        "--copies", type=positive_int, nargs="+", default=[1, 10], help="the training faces so many times over"
    )
    c.add_argument("--samples", type=positive_int, default=400, help="that each loader gives in a round")
    c.add_argument("--rounds", type=whole_number, default=5, help="of the loaders; 0: don't measure them")


def write_pictures(folder: Path, tables: Tables) -> None:
    plots.save_figure(plots.plot_speed(tables["photo"]), folder / SPEED)
    plots.save_figure(plots.plot_parts(tables["parts"]), folder / PHOTO_TIME)
    say(f"pictures are in {folder}/")


def as_argument(value):
    """An option's value as JSON knows it."""
    if isinstance(value, list):
        return [as_argument(one) for one in value]
    if isinstance(value, dict):
        return {name: as_argument(one) for name, one in value.items()}
    return str(value) if isinstance(value, Path) else value


def main() -> None:
    args = parse_arguments()
    arguments = {name: as_argument(value) for name, value in vars(args).items()}
    pictures = [args.output_dir / name for name in PICTURES.get(args.command, ())]
    read = [getattr(args, name) for name in ("network", "photo", "film") if hasattr(args, name)]
    places = [*pictures, *([args.json] if args.json else [])]
    check_places(places, read, args.overwrite, lambda path: is_ours(path) or holds_tables(path))
    say(", ".join(f"{name} {value}" for name, value in arguments.items() if value is not None))
    tables = COMMANDS[args.command](args)
    for rows in tables.values():
        print(f"\n{as_text(rows)}")
    if args.command == "photo":
        write_pictures(args.output_dir, tables)
    if args.json:
        write_tables(args.json, arguments, tables)


if __name__ == "__main__":
    launch.run(main)
