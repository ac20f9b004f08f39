"""Labelled faces for training: the data set, its transforms, and samples that a seed makes repeatable.

A sample is a dict with `image`, (H, W, 3) uint8 RGB, and `keypoints`, (68, 2) float32, x before y, in pixels of that
image, 0-based, with pixel centres at integers. Of other points than iBUG's 68 it has their `scheme`, too. A transform
takes a sample and returns one, so that `torchvision.transforms.Compose` chains them:

    dataset = FacialKeypointsDataset("data/training_frames_keypoints.csv", "data/training",
                                     transform=Compose([Rescale(250), RandomCrop(224), Normalize(), ToTensor()]))
    dataset[0]["image"]      # (1, 224, 224) float32 in [0, 1]
    dataset[0]["keypoints"]  # (68, 2) float32, -1 and 1 are the edges of the image

The file has five parts. The data set reads labels and images. Transforms as classes: those of the course, then the face
crop and the changes that only training makes. The two chains of transforms, for training and for evaluation. The
geometry behind the transforms, as functions without randomness; image and keypoints always move by the same matrix.
`SeededSamples`, by which the same seed gives the same samples with any number of workers.

Random transforms draw from torch's global generator, as torchvision's do.
"""

import copy
import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from datasets import image_cache
from datasets.labels import check_faces, check_images, read_csv, read_pts_folder
from datasets.layout import NO_SHIFT, SETS_300W, LabelShift, find_split, labels_of, person_of, public_layout
from face68 import geometry
from face68.annotators import IBUG, reference_first
from face68.files import InputError
from face68.geometry import CropPolicy, normalize_keypoints, to_gray
from face68.images import read_image
from face68.landmarks import COVERED, HIDDEN, IBUG68, UNSAID, find_scheme, upright_frame
from face68.measures import filled
from face68.schemes import Scheme

LYING = 45.0  # degrees: a face that is turned further is levelled before it is cut out


# --- The data set -----------------------------------------------------------------------------------------------------


class FacialKeypointsDataset(Dataset):
    """Faces with their keypoints, from a CSV file and a folder of images, or from images with `.pts` files. A face has
    iBUG's 68 points, or those of another scheme, and may then be any object.

    csv_file: first column the image's name, then x0, y0, …, x67, y67 in pixels. None: each image has a `.pts` file of
        its own name beside it.
    root_dir: the folder of the images; those without labels are left alone.
    transform: called on every sample.
    label_shift: how far the files' labels lie off the faces. It is subtracted, so that `keypoints` lie on the face.
    annotator: who labelled the faces, see face68/annotators.py; None: iBUG for `.pts` files, else the folder's name.
    scheme: of the points; None: by their number, see `face68.landmarks.scheme_of`.

    Without `label_shift` the labels are those of the file; the public set's lie beside the face, by a known distance.
    `open_split("data", "training", transform)` gives the same faces with labels corrected: train on those.

    Attributes: `scheme` and, one item per face, `names` and `paths` of the images, `keypoints` (N, 68, 2) float32 px,
    `visibility` (N, 68) int8, see face68/landmarks.py, `label_shifts` (N, 68, 2) px, which were subtracted, and
    `sources` (N,), the index of the set each face came from where several were joined. `source_annotators` has one item
    per set. A hidden point has no label: its keypoint is a guess, for framing alone (see `measures.filled`).

    Raises:
        InputError: the labels can't be used, or an image is missing (with file, row and column).
    """

    def __init__(
        self,
        csv_file: str | Path | None,
        root_dir: str | Path,
        transform: Callable[[dict], dict] | None = None,
        label_shift: LabelShift = NO_SHIFT,
        annotator: str | None = None,
        scheme: Scheme | None = None,
    ):
        labels = read_pts_folder(root_dir, scheme) if csv_file is None else read_csv(csv_file, scheme)
        self.names, self.visibility, self.scheme = labels.names, labels.visibility, labels.scheme
        self.root = Path(root_dir)
        self.paths = [self.root / name for name in self.names]
        if csv_file is not None:
            check_images(csv_file, self.names, self.paths)
        check_faces(csv_file, self.paths, labels)
        keypoints = fill_hidden(labels.keypoints, self.visibility, self.scheme)
        self.label_shifts = label_shift.of(keypoints, self.scheme)
        self.keypoints = keypoints - self.label_shifts
        self.sources = np.zeros(len(keypoints), dtype=int)
        self.source_annotators = [annotator or (IBUG if csv_file is None else Path(root_dir).name)]
        self.transform = transform
        self._caches: list[image_cache.ImageCache] = []

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict:
        sample = {"image": self.image(index).copy(), "keypoints": self.keypoints[index].copy()}
        if self.scheme != IBUG68:
            sample["scheme"] = self.scheme
        if self.says_visibility:
            sample["visibility"] = self.visibility[index].copy()
        annotators = self.annotators
        if len(annotators) > 1:
            sample["annotator"] = annotators.index(self.source_annotators[self.sources[index]])
        return self.transform(sample) if self.transform else sample

    @property
    def key_pts_frame(self) -> pd.DataFrame:
        """The table that the course works with: one row per face, image name and then x0, y0, …, x67, y67 px."""
        return pd.DataFrame(self.keypoints.reshape(len(self), -1)).set_axis(self.names).reset_index(names="image")

    @property
    def says_visibility(self) -> bool:
        """Whether anything is said of any point's visibility. Only then a sample has `visibility`, (68,)."""
        return bool((self.visibility != UNSAID).any())

    @property
    def labelled(self) -> np.ndarray:
        """The keypoints (N, 68, 2) px, NaN for hidden ones, which have no label."""
        return np.where(self.visibility[..., None] == HIDDEN, np.float32(math.nan), self.keypoints)

    @property
    def annotators(self) -> tuple[str, ...]:
        """The annotators, each once, see `reference_first`. A sample's `annotator` is an index into them."""
        return reference_first(self.source_annotators)

    @property
    def labelled_by(self) -> np.ndarray:
        """The annotator of each face, (N,)."""
        return np.array(self.source_annotators)[self.sources]

    @property
    def people(self) -> list[str]:
        """The person in each image, by its file name."""
        return [person_of(name) for name in self.names]

    def image(self, index: int) -> np.ndarray:
        """The image of a face, (H, W, 3) uint8 RGB. Don't write to it: other processes may share its memory."""
        path = self.paths[index]
        for cache in self._caches:
            if (image := cache.get(path)) is not None:
                return image
        return read_image(path)

    def preload(self, cache_dir: Path | None = None, cache_mb: float = image_cache.BUDGET) -> "FacialKeypointsDataset":
        """Decode all images now, into a file that later runs and other processes read, see datasets/image_cache.py.

        cache_dir: the folder of that file; None: the user's cache folder.
        cache_mb: its largest size in MB. Images beyond it are decoded at each access.

        Raises:
            InputError: an image can't be read. So this shows before the first epoch.
        """
        cache = image_cache.open_cache(self.paths, cache_dir or image_cache.default_folder(), cache_mb)
        self._caches = [cache] if cache else []
        return self

    def subset(self, indices: Sequence[int], transform: Callable[[dict], dict] | None) -> "FacialKeypointsDataset":
        """The faces at `indices`, with another transform. Preloaded images stay preloaded."""
        part, rows = copy.copy(self), np.asarray(indices, dtype=int)
        part.names, part.paths = [self.names[i] for i in rows], [self.paths[i] for i in rows]
        part.keypoints, part.label_shifts = self.keypoints[rows], self.label_shifts[rows]
        part.visibility = self.visibility[rows]
        part.sources = self.sources[rows]
        part.transform = transform
        return part

    def as_published(self) -> "FacialKeypointsDataset":
        """The same faces with the labels as in their files, shift included."""
        part = copy.copy(self)
        part.keypoints = self.keypoints + self.label_shifts
        part.label_shifts = np.zeros_like(self.label_shifts)
        return part


def fill_hidden(keypoints: np.ndarray, visibility: np.ndarray, scheme: Scheme = IBUG68) -> np.ndarray:
    """Keypoints (N, 68, 2) px with a guess in place of each hidden one, see `measures.filled`."""
    complete, is_known = keypoints.copy(), visibility != HIDDEN
    for i in np.flatnonzero(~is_known.all(axis=1)):
        complete[i] = filled(keypoints[i], is_known[i], scheme)
    return complete


def join(datasets: Sequence[FacialKeypointsDataset]) -> FacialKeypointsDataset:
    """The faces of several data sets as one, without a transform. Preloaded images stay preloaded.

    Raises:
        InputError: their points differ.
    """
    for one in datasets[1:]:
        if one.scheme != datasets[0].scheme:
            schemes = f"the points of {one.scheme.name}, {datasets[0].root} those of {datasets[0].scheme.name}"
            raise InputError(f"{one.root}: has {schemes}; a network has one scheme, so train on each alone")
    whole = datasets[0].subset([], None)
    whole.names = [name for one in datasets for name in one.names]
    whole.paths = [path for one in datasets for path in one.paths]
    whole.keypoints = np.concatenate([one.keypoints for one in datasets])
    whole.label_shifts = np.concatenate([one.label_shifts for one in datasets])
    whole.visibility = np.concatenate([one.visibility for one in datasets])
    whole.sources = np.repeat(np.arange(len(datasets)), [len(one) for one in datasets])
    whole.source_annotators = [one.source_annotators[0] for one in datasets]
    whole._caches = [cache for one in datasets for cache in one._caches]
    return whole


def open_split(directory: str | Path, split: str, transform=None) -> FacialKeypointsDataset:
    """One split of a data set, its label shift subtracted (see `datasets.layout.labels_of`). Its points are those of
    the folder's scheme.json, see docs/schemes.md; without one iBUG's 68, or as many as there are.

    split: "training", "test", or one of SETS_300W in a folder that holds the archives of 300-W.

    The folder has the public layout, `training/` and `training_frames_keypoints.csv`, or images with `.pts` files. They
    lie in `training/` and `test/`, or anywhere in the folder: then all but the test images of 300-W are for training.

    Raises:
        InputError: the folder is no such data set.
    """
    directory = Path(directory)
    scheme = find_scheme(directory)
    if split in SETS_300W:
        missing = [folder for folder in SETS_300W[split] if not (directory / folder).is_dir()]
        if missing:
            needed = f"has no {missing[0]}, which {split} needs"
            raise InputError(f"{directory}: {needed}; give the folder of 300-W's archives")
        data = FacialKeypointsDataset(None, directory, transform, *labels_of(directory), scheme)
        return data.subset([i for i, name in enumerate(data.names) if name.startswith(SETS_300W[split])], transform)

    paths = find_split(directory, split)
    if paths is None:
        remedy = f"give a folder with that file and {split}/, or images with .pts files, or get the public set: "
        csv_name = public_layout(directory, split)[0].name
        raise InputError(
            f"{directory}: holds neither {csv_name} nor .pts files for {split}; {remedy}python prepare.py download"
        )
    csv_file, images = paths
    data = FacialKeypointsDataset(csv_file, images, transform, *labels_of(directory, csv_file), scheme)
    if csv_file is None and images == directory:  # nothing but the folders' names keeps 300-W's test sets apart
        is_training = [not name.startswith(SETS_300W["full"]) for name in data.names]
        data = data.subset(np.flatnonzero(is_training), transform)
    return data


# --- Transforms: those of the course ----------------------------------------------------------------------------------


class Rescale:
    """Resize the image: to `size` on its shorter side (an int), or to exactly (height, width) (a tuple)."""

    def __init__(self, size: int | tuple[int, int]):
        self.size = size

    def __call__(self, sample: dict) -> dict:
        height, width = sample["image"].shape[:2]
        if isinstance(self.size, int):
            factor = self.size / min(height, width)
            return resize(sample, round(height * factor), round(width * factor))
        return resize(sample, *self.size)


class Resize(Rescale):
    """Resize the image to exactly (height, width); an int means a square."""

    def __init__(self, size: int | tuple[int, int]):
        super().__init__((size, size) if isinstance(size, int) else size)


class RandomCrop:
    """Cut out a random window of (height, width) pixels; an int means a square.

    Raises:
        InputError: the image is smaller than the window.
    """

    def __init__(self, size: int | tuple[int, int]):
        self.size = (size, size) if isinstance(size, int) else size

    def __call__(self, sample: dict) -> dict:
        (height, width), (rows, columns) = sample["image"].shape[:2], self.size
        if rows > height or columns > width:
            sizes = f"the image is {height}×{width} pixels, the window {rows}×{columns}"
            raise InputError(f"RandomCrop: {sizes}; Rescale it first")
        top, left = (int(torch.randint(free + 1, ())) for free in (height - rows, width - columns))
        return crop(sample, top, left, rows, columns)


class Normalize:
    """Gray in [0, 1], keypoints in about [-1, 1].

    By default -1 and 1 are the edges of the image; points outside of it lie beyond. With `center` and `scale`, in
    pixels, keypoints become (keypoints - center) / scale: `Normalize(center=100, scale=50)` is the convention of the
    course that made this data set known.
    """

    def __init__(self, center: float | None = None, scale: float | None = None):
        if (center is None) != (scale is None):
            raise ValueError("Normalize takes both center and scale, or neither")
        self.center, self.scale = center, scale

    def __call__(self, sample: dict) -> dict:
        image, keypoints = sample["image"], sample["keypoints"]
        if self.center is None:
            keypoints = normalize_keypoints(keypoints, *image.shape[:2])
        else:
            keypoints = ((keypoints - self.center) / self.scale).astype(np.float32)
        return {**sample, "image": to_gray(image), "keypoints": keypoints}


class ToTensor:
    """NumPy to torch: images (H, W) → (1, H, W) and (H, W, 3) → (3, H, W), keypoints (68, 2) as they are. The scheme,
    which no batch can hold, goes.
    """

    def __call__(self, sample: dict) -> dict:
        image = sample["image"]
        image = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
        arrays = {**sample, "image": np.ascontiguousarray(image)}
        arrays.pop("scheme", None)
        return {name: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for name, v in arrays.items()}


# --- Transforms: the face crop and the changes of training ------------------------------------------------------------


class CropFace:
    """Cut the face out as the crop policy says, around the box of its keypoints. Nothing is random."""

    def __init__(self, policy: CropPolicy):
        self.policy = policy

    def __call__(self, sample: dict) -> dict:
        return crop_face(sample, self.policy)


class RandomCropFace:
    """Cut the face out, rotated, scaled, shifted and mirrored at random, in one warp of the image.

    A strength is drawn first, the square of a uniform number in [0, 1], and multiplies all changes. So most faces are
    framed nearly as well as prediction's second pass frames them, and few as badly as its first pass may.

    degrees: standard deviation of the rotation at strength 1, truncated at twice that.
    scale: standard deviation of the logarithm of the scale at strength 1, truncated at twice that.
    shift: the largest shift in each direction at strength 1, as a fraction of the crop's side.
    mirror: the probability of mirroring, where the scheme says how.
    background: the probability of a negative example. Half of them are a piece of background (`random_background`),
        half are the face rotated by a further 90° to 270°, where keypoints aren't to be trusted. Of what has no eyes
        all are background, and of a single point, which has no extent, there are none.

    The sample gets `is_upright_face`, 1.0 or 0.0.
    """

    def __init__(self, policy: CropPolicy, degrees=24.0, scale=0.15, shift=0.1, mirror=0.5, background=0.0):
        self.policy, self.degrees, self.scale, self.shift = policy, degrees, scale, shift
        self.mirror, self.background = mirror, background

    def __call__(self, sample: dict) -> dict:
        # Choose between an upright face, background and a face that lies or stands on its head.
        scheme = sample.get("scheme", IBUG68)
        is_upright_face, rotation = torch.rand(()).item() >= self.background or not scheme.has_extent, 0.0
        if not is_upright_face:
            coin, u = torch.rand(2).tolist()
            if coin < 0.5 or not scheme.eyes:
                box = random_background(geometry.box_of(sample["keypoints"]), *sample["image"].shape[:2])
                crop = cut_out(sample, geometry.crop_matrix(box, self.policy), self.policy)
                return crop | {"is_upright_face": np.float32(0)}
            rotation = 90 + 180 * u
        # Draw the changes, then their strength.
        turn, zoom = torch.randn(2).clamp(-2, 2).tolist()
        dx, dy, coin, strength = torch.rand(4).tolist()
        strength **= 2
        return crop_face(
            sample,
            self.policy,
            degrees=rotation + strength * self.degrees * turn,
            scale=float(np.exp(strength * self.scale * zoom)),
            shift=(strength * (2 * dx - 1) * self.shift, strength * (2 * dy - 1) * self.shift),
            mirror=coin < self.mirror and scheme.mirror is not None,
        ) | {"is_upright_face": np.float32(is_upright_face)}


class RandomLight:
    """Another light and another camera: contrast, brightness, gamma, then blur, motion, compression or noise.

    A strength is drawn first, the square of a uniform number in [0, 1], and multiplies the first three: most images
    change little, few much.

    contrast, brightness, gamma: the largest change; 0.4 means factors of 0.6 … 1.4 (gamma: 1/1.4 … 1.4).
    blur: the largest standard deviation in pixels. motion: the longest path of a pixel, likewise.
    quality: the lowest of JPEG's.
    noise: the largest standard deviation in gray levels.
    """

    def __init__(self, contrast=0.4, brightness=0.25, gamma=0.5, blur=1.2, motion=9.0, quality=20, noise=10.0):
        self.contrast, self.brightness, self.gamma = contrast, brightness, gamma
        self.blur, self.motion, self.quality, self.noise = blur, motion, quality, noise

    def __call__(self, sample: dict) -> dict:
        # One lookup table of gray levels for contrast, brightness and gamma.
        strength = float(torch.rand(())) ** 2
        contrast, brightness, gamma = (strength * (2 * torch.rand(3) - 1)).tolist()
        levels = np.linspace(0, 1, 256) ** (1 + self.gamma) ** gamma
        levels = (levels - 0.5) * (1 + self.contrast * contrast) + 0.5 + self.brightness * brightness
        image = cv2.LUT(sample["image"], np.clip(levels * 255, 0, 255).astype(np.uint8))
        # Of ten images two are blurred, one is moved while it is taken, one is compressed, and two are noisy.
        kind, amount = torch.rand(2).tolist()
        if kind < 0.2:
            image = cv2.GaussianBlur(image, (0, 0), 0.3 + self.blur * amount)
        elif kind < 0.3:
            image = cv2.filter2D(image, -1, motion_kernel(1 + self.motion * amount, math.pi * float(torch.rand(()))))
        elif kind < 0.4:
            quality = round(90 - (90 - self.quality) * amount)
            image = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
        elif kind < 0.6:
            noise = torch.randn(image.shape[:2]).numpy() * (self.noise * amount)
            noisy = cv2.merge([noise] * image.shape[2])  # far faster than NumPy's broadcasting over the channels
            noisy += image
            image = np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)
        return {**sample, "image": image}


def motion_kernel(length: float, angle: float) -> np.ndarray:
    """The filter that smears a picture along a line of that length, px, at that angle, radians: (K, K), its sum 1."""
    reach = math.ceil(length / 2)
    along = np.linspace(-length / 2, length / 2, 8 * reach + 1)
    kernel, columns, rows = np.zeros((2 * reach + 1, 2 * reach + 1)), along * math.cos(angle), along * math.sin(angle)
    np.add.at(kernel, (np.round(rows).astype(int) + reach, np.round(columns).astype(int) + reach), 1 / len(along))
    return kernel


class RandomErase:
    """Cover a random rectangle with one gray level, to stand for a hand or hair (Zhong et al., 2020, arXiv:1708.04896).

    probability: of drawing a rectangle.
    side: the largest side of the rectangle, as a fraction of the image's; the smallest is a tenth of that.
    """

    def __init__(self, probability: float = 0.4, side: float = 0.5):
        self.probability, self.side = probability, side

    def __call__(self, sample: dict) -> dict:
        coin, x, y, w, h, level = torch.rand(6).tolist()
        if coin >= self.probability:
            return sample
        image = sample["image"].copy()
        rows = round((0.1 + 0.9 * h) * self.side * image.shape[0])
        columns = round((0.1 + 0.9 * w) * self.side * image.shape[1])
        top, left = round(y * (image.shape[0] - rows)), round(x * (image.shape[1] - columns))
        image[top : top + rows, left : left + columns] = int(level * 255)
        sample = {**sample, "image": image}
        if "visibility" in sample:
            inside = np.round(sample["keypoints"]) - [left, top]  # (68, 2) px of the rectangle
            is_covered = ((inside >= 0) & (inside < [columns, rows])).all(axis=1) & (sample["visibility"] != HIDDEN)
            sample["visibility"] = np.where(is_covered, np.int8(COVERED), sample["visibility"])
        return sample


# --- Training and evaluation, side by side: nothing random reaches a test image ---------------------------------------


def compose(*transforms: Callable[[dict], dict]) -> Callable[[dict], dict]:
    """The transforms one after the other."""
    from torchvision.transforms import Compose  # here, because it takes seconds that only training need spend

    return Compose(transforms)


def training_transform(policy: CropPolicy, background: float = 0.0) -> Callable[[dict], dict]:
    face = RandomCropFace(policy, background=background)
    return compose(face, RandomLight(), RandomErase(), Normalize(), ToTensor())


def upright_transform(policy: CropPolicy) -> Callable[[dict], dict]:
    """Training without mirroring and rotation, for evaluation/label_shift.py."""
    return compose(RandomCropFace(policy, degrees=0, mirror=0), RandomLight(), RandomErase(), Normalize(), ToTensor())


def evaluation_transform(policy: CropPolicy) -> Callable[[dict], dict]:
    return compose(CropFace(policy), Normalize(), ToTensor())


# --- Geometry without randomness --------------------------------------------------------------------------------------


def resize(sample: dict, height: int, width: int) -> dict:
    """Image and keypoints at (height, width)."""
    image, matrix = sample["image"], geometry.resize_matrix(*sample["image"].shape[:2], height, width)
    keypoints = geometry.transform_points(sample["keypoints"], matrix)
    return {**sample, "image": geometry.resize(image, height, width), "keypoints": keypoints}


def crop(sample: dict, top: int, left: int, height: int, width: int) -> dict:
    """The window of the image whose first pixel is (left, top)."""
    image = sample["image"][top : top + height, left : left + width]
    keypoints = sample["keypoints"] - np.array([left, top], dtype=np.float32)
    return {**sample, "image": image, "keypoints": keypoints}


def crop_face(sample: dict, policy: CropPolicy, degrees: float = 0.0, mirror: bool = False, **change) -> dict:
    """The policy's crop around the keypoints; `degrees`, `mirror` and `change` are those of `geometry.crop_matrix`.

    A face that lies or stands on its head is levelled first, as in prediction. Mirroring renumbers the keypoints: the
    right eye becomes the left one.
    """
    scheme = sample.get("scheme", IBUG68)
    frame = face_frame(sample["keypoints"], sample["image"].shape, scheme)
    face = cut_out(sample, face_matrix(frame, policy, degrees, mirror, **change), policy)
    per_point = [name for name in ("keypoints", "visibility") if name in face]
    return face | {name: face[name][scheme.mirror] for name in per_point} if mirror else face


def face_matrix(frame: tuple[np.ndarray, float], policy: CropPolicy, degrees=0.0, mirror=False, **change) -> np.ndarray:
    """The 2×3 matrix from the image to the crop of a face with a `face_frame`, see `crop_face`."""
    box, level = frame
    degrees += -level if mirror else level  # mirroring comes first
    return geometry.crop_matrix(box, policy, degrees=degrees, mirror=mirror, **change)


def face_frame(points: np.ndarray, shape: Sequence[int], scheme: Scheme = IBUG68) -> tuple[np.ndarray, float]:
    """The box (x0, y0, x1, y1) to cut out around keypoints (68, 2) px in an image of a shape (H, W, …), and the
    rotation in degrees that levels them. Around a single point, which has no extent, it is the image.

    A face that is turned by no more than LYING keeps its roll: the rotation is 0.
    """
    if not scheme.has_extent:
        return geometry.whole_box(*shape[:2]), 0.0
    box, level = upright_frame(points, scheme)
    return (box, level) if abs(level) > LYING else (geometry.box_of(points), 0.0)


def cut_out(sample: dict, matrix: np.ndarray, policy: CropPolicy) -> dict:
    """Image and keypoints moved by a 2×3 matrix into the policy's square."""
    keypoints = geometry.transform_points(sample["keypoints"], matrix)
    return {**sample, "image": geometry.warp(sample["image"], matrix, policy.size, policy.size), "keypoints": keypoints}


def random_background(face: np.ndarray, height: int, width: int) -> np.ndarray:
    """A square box in an image of (height, width) px that a detector might report by mistake: a negative example.

    Its side is 0.3 to 1.5 times that of the face's box (x0, y0, x1, y1), and its overlap with that box below 15%
    (intersection over union). It may hold background, a piece of the face, or a face at its edge.

    Raises:
        ValueError: the face's box is empty or not finite.
    """
    side = max(face[2] - face[0], face[3] - face[1])
    if not 0 < side < math.inf:
        raise ValueError(f"the box {tuple(face)} has no extent")
    while True:
        zoom, x, y = torch.rand(3).tolist()
        half = side * 0.3 * 5**zoom / 2
        box = np.array([x * width - half, y * height - half, x * width + half, y * height + half])
        if geometry.overlap(box, face) < 0.15:
            return box


# --- Samples by seed --------------------------------------------------------------------------------------------------


class SeededSamples(Dataset):
    """A data set whose random transforms depend on (seed, epoch, index) alone.

    So a run gives the same samples with any number of workers, and after an interruption in the middle of an epoch.
    """

    def __init__(self, dataset: FacialKeypointsDataset, seed: int, balance: float = 0.0):
        self.dataset, self.seed, self.balance, self.epoch = dataset, seed, balance, 0

    def __len__(self) -> int:
        return len(self.order())

    def __getitem__(self, key: int) -> dict:
        with torch.random.fork_rng(devices=[]):
            seed = np.random.SeedSequence([self.seed, self.epoch, key]).generate_state(1)[0].item()
            # While no accelerator is in use, seed the CPU alone: for each other kind of device torch would record the
            # whole call stack, which takes as long as the sample.
            in_use = torch.cuda.is_initialized() or torch.backends.mps.is_available()
            (torch.manual_seed if in_use else torch.default_generator.manual_seed)(seed)
            return self.dataset[key % len(self.dataset)]

    def order(self) -> list[int]:
        """The keys of this epoch's samples, shuffled.

        With `balance` b each joined set of n faces gets a share in proportion to n ** (1 - b): with 0 every face comes
        once, with 1 all sets have equal shares. A face that comes again has another key, index + copy × size, and so
        other random numbers.
        """
        random, size = np.random.default_rng([self.seed, self.epoch]), len(self.dataset)
        if not self.balance:
            return random.permutation(size).tolist()
        sources = [np.flatnonzero(self.dataset.sources == source) for source in np.unique(self.dataset.sources)]
        shares = np.array([len(members) for members in sources]) ** (1 - self.balance)
        keys = []
        for members, share in zip(sources, shares / shares.sum(), strict=True):
            copies = np.arange(int(size * share + 1e-9))
            keys.append(random.permutation(members)[copies % len(members)] + copies // len(members) * size)
        return random.permutation(np.concatenate(keys)).tolist()

    def digest(self) -> str:
        """A hash of names and labels, which tells whether two data sets hold the same faces."""
        digest = hashlib.sha256("\0".join(self.dataset.names).encode("utf-8", "surrogateescape"))
        digest.update(np.ascontiguousarray(self.dataset.keypoints))
        return digest.hexdigest()
