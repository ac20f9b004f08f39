"""Labelled faces: the data set, its transforms, splits by person, download and audit.

    python data_load.py download                 # the public data set into data/ (350 MB), verified file by file
    python data_load.py check data               # an audit of a data set

A sample is a dict with `image`, (H, W, 3) uint8 RGB, and `keypoints`, (68, 2) float32, x before y, in pixels of that
image, 0-based, with pixel centres at integers. A transform takes a sample and returns one, so that
`torchvision.transforms.Compose` chains them:

    dataset = FacialKeypointsDataset("data/training_frames_keypoints.csv", "data/training",
                                     transform=Compose([Rescale(250), RandomCrop(224), Normalize(), ToTensor()]))
    dataset[0]["image"]      # (1, 224, 224) float32 in [0, 1]
    dataset[0]["keypoints"]  # (68, 2) float32, -1 and 1 are the edges of the image

Random transforms draw from torch's global generator, as torchvision's do.
"""

import copy
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

import download
import geometry
from cli import InputError, parser, run
from geometry import CropPolicy
from images import read_image
from landmarks import FLIP, person_of, read_csv
from metrics import inter_ocular

DATA_DIR = Path(__file__).resolve().parent / "data"
SAMPLE_DIR = DATA_DIR / "sample"
SPLITS = ("training", "test")
FOLDS = 5

# The labels of the public set lie to the right of the face by about 2.6% of the eye distance, which mirroring shows: a
# network trained without it learns the shift b too, and its answers for an image and for the mirrored image, turned
# back, then differ by 2b. Uncorrected, mirroring in training would teach two contradicting truths.
PUBLIC_LABEL_SHIFT = (0.026, 0.0)


class FacialKeypointsDataset(Dataset):
    """Faces with 68 keypoints each, from an annotation CSV and a folder of images.

    csv_file: first column the image's name, then x0, y0, …, x67, y67 in pixels.
    root_dir: the folder of the images; those without a row in the CSV are left alone.
    transform: called on every sample.
    label_shift: how far the file's labels lie off the face, x and y, as fractions of the distance between the outer eye
        corners; it is taken off here, so that `keypoints` sit on the face.
    cache_mb: memory for decoded images, in MB. Images are decoded once, while they fit; the rest at each access.

    `names` lists the images, `keypoints` is (N, 68, 2) float32 and `people` tells whose face each one is.

    Raises:
        InputError: the CSV can't be used, or a row's image is not there (which file, row and column).
    """

    def __init__(
        self,
        csv_file: str | Path,
        root_dir: str | Path,
        transform: Callable[[dict], dict] | None = None,
        label_shift: tuple[float, float] = (0.0, 0.0),
        cache_mb: float = 2048,
    ):
        self.root = Path(root_dir)
        self.names, labels = read_csv(csv_file)
        self.label_shift = label_shift
        self.keypoints = shift_keypoints(labels, (-label_shift[0], -label_shift[1]))
        self.transform = transform
        self._cache: dict[str, np.ndarray] = {}
        self._cache_room = [int(cache_mb * 2**20)]  # a list, because subsets share it
        for row, name in enumerate(self.names, start=2):  # row 1 of the file is the header
            if not (self.root / name).is_file():
                raise InputError(
                    f"{csv_file}: row {row}, column 1: the image {self.root / name} is not there; "
                    "add it or take the row out"
                )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict:
        sample = {"image": self.image(index).copy(), "keypoints": self.keypoints[index].copy()}
        return self.transform(sample) if self.transform else sample

    @property
    def people(self) -> list[str]:
        """The person of each image, by its file name."""
        return [person_of(name) for name in self.names]

    def image(self, index: int) -> np.ndarray:
        """The image as it is, (H, W, 3) uint8 RGB, from memory where it is there already. Don't write to it."""
        name = self.names[index]
        if name not in self._cache:
            image = read_image(self.root / name)
            if image.nbytes > self._cache_room[0]:
                return image
            self._cache_room[0] -= image.nbytes
            self._cache[name] = image
        return self._cache[name]

    def preload(self) -> "FacialKeypointsDataset":
        """Decode now, on all cores, what the memory budget takes. An unreadable image shows here, not in epoch 1."""
        with ThreadPoolExecutor() as pool:
            for _ in pool.map(self.image, range(len(self))):
                pass
        return self

    def subset(self, indices: Sequence[int], transform: Callable[[dict], dict] | None):
        """The rows `indices` with a transform of their own; decoded images are shared."""
        part = copy.copy(self)
        part.names = [self.names[i] for i in indices]
        part.keypoints = self.keypoints[np.asarray(indices, dtype=int)]
        part.transform = transform
        return part


def open_split(directory: str | Path, split: str, transform=None) -> FacialKeypointsDataset:
    """The split "training" or "test" of a data set in the public layout. The public set's label shift is taken off.

    Raises:
        InputError: the folder is no such data set.
    """
    csv_file = Path(directory) / f"{split}_frames_keypoints.csv"
    if not csv_file.is_file():
        raise InputError(
            f"{csv_file}: not there; give a folder that holds {csv_file.name} and {split}/, "
            "or get the public one: python data_load.py download"
        )
    is_public = download.sha256(csv_file) in download.MANIFEST.read_text(encoding="utf-8")
    label_shift = PUBLIC_LABEL_SHIFT if is_public else (0.0, 0.0)
    return FacialKeypointsDataset(csv_file, Path(directory) / split, transform, label_shift)


def shift_keypoints(keypoints: np.ndarray, shift: tuple[float, float]) -> np.ndarray:
    """Keypoints (N, 68, 2) moved by fractions of each face's own eye distance, x and y."""
    return (keypoints + inter_ocular(keypoints)[:, None, None] * np.float32(shift)).astype(np.float32)


def default_data() -> Path:
    """`data/` where the public data set is there, else the drawn sample that the repository ships."""
    return DATA_DIR if (DATA_DIR / "training_frames_keypoints.csv").is_file() else SAMPLE_DIR


def fold_of(person: str) -> int:
    """The person's fold, 0 … 4: a hash of the name, so neither row order nor other people change it."""
    return zlib.crc32(person.encode("utf-8", "surrogateescape")) % FOLDS


def split_by_person(people: Sequence[str], val_fold: int) -> tuple[list[int], list[int]]:
    """Indices for training and for validation: the people of fold `val_fold` are validation, and only they."""
    folds = [fold_of(person) for person in people]
    training = [i for i, fold in enumerate(folds) if fold != val_fold]
    validation = [i for i, fold in enumerate(folds) if fold == val_fold]
    return training, validation


# --- Transforms: the classic ones ------------------------------------------------------------------------------


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


class Resize:
    """Resize the image to exactly (height, width); an int means a square."""

    def __init__(self, size: int | tuple[int, int]):
        self.size = (size, size) if isinstance(size, int) else size

    def __call__(self, sample: dict) -> dict:
        return resize(sample, *self.size)


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
            raise InputError(
                f"RandomCrop: the image is {height}×{width} pixels, the window {rows}×{columns}; Rescale it first"
            )
        top = int(torch.randint(height - rows + 1, ()))
        left = int(torch.randint(width - columns + 1, ()))
        return crop(sample, top, left, rows, columns)


class Normalize:
    """Gray in [0, 1], keypoints in about [-1, 1].

    Without numbers, -1 and 1 are the edges of the image (so points outside of it lie beyond). With `center` and
    `scale`, in pixels, keypoints become (keypoints - center) / scale: `Normalize(center=100, scale=50)` is the
    convention of the course that made this data set known.
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
    """NumPy to torch: the image (H, W) → (1, H, W) and (H, W, 3) → (3, H, W), keypoints (68, 2)."""

    def __call__(self, sample: dict) -> dict:
        image = sample["image"]
        image = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
        return {
            **sample,
            "image": torch.from_numpy(np.ascontiguousarray(image)),
            "keypoints": torch.from_numpy(sample["keypoints"]),
        }


# --- Transforms: the face crop and what training does to it ------------------------------------------------------


class CropFace:
    """Cut the face out as the crop policy says, around the box of its keypoints. Nothing random."""

    def __init__(self, policy: CropPolicy):
        self.policy = policy

    def __call__(self, sample: dict) -> dict:
        return crop_face(sample, self.policy)


class RandomCropFace:
    """Cut the face out turned, scaled, shifted and mirrored at random: one warp of the image, no second resampling.

    degrees: standard deviation of the turn, drawn up to twice that.
    scale: standard deviation of the logarithm of the scale, drawn up to twice that.
    shift: the largest shift either way, as a fraction of the crop's side.
    mirror: the probability of mirroring.
    """

    def __init__(
        self,
        policy: CropPolicy,
        degrees: float = 15.0,
        scale: float = 0.1,
        shift: float = 0.06,
        mirror: float = 0.5,
    ):
        self.policy = policy
        self.degrees, self.scale, self.shift, self.mirror = degrees, scale, shift, mirror

    def __call__(self, sample: dict) -> dict:
        turn, zoom = torch.randn(2).clamp(-2, 2).tolist()
        dx, dy, coin = torch.rand(3).tolist()
        return crop_face(
            sample,
            self.policy,
            degrees=self.degrees * turn,
            scale=float(np.exp(self.scale * zoom)),
            shift=((2 * dx - 1) * self.shift, (2 * dy - 1) * self.shift),
            mirror=coin < self.mirror,
        )


class RandomLight:
    """Another light and another camera: contrast, brightness, gamma, then blur or noise.

    contrast, brightness, gamma: the largest change; 0.4 means factors of 0.6 … 1.4 (gamma: 1/1.4 … 1.4).
    blur: the largest standard deviation in pixels.
    noise: the largest standard deviation in gray levels.
    """

    def __init__(self, contrast=0.4, brightness=0.25, gamma=0.5, blur=1.2, noise=10.0):
        self.contrast, self.brightness, self.gamma = contrast, brightness, gamma
        self.blur, self.noise = blur, noise

    def __call__(self, sample: dict) -> dict:
        contrast, brightness, gamma = (2 * torch.rand(3) - 1).tolist()
        levels = np.linspace(0, 1, 256) ** (1 + self.gamma) ** gamma
        levels = (levels - 0.5) * (1 + self.contrast * contrast) + 0.5 + self.brightness * brightness
        image = cv2.LUT(sample["image"], np.clip(levels * 255, 0, 255).astype(np.uint8))
        kind, strength = torch.rand(2).tolist()
        if kind < 0.25:
            image = cv2.GaussianBlur(image, (0, 0), 0.3 + self.blur * strength)
        elif kind < 0.5:
            noise = torch.randn(image.shape[:2]).numpy()[..., None] * (self.noise * strength)
            image = np.clip(image + noise, 0, 255).astype(np.uint8)
        return {**sample, "image": image}


class RandomErase:
    """Cover a random rectangle with one gray level, as a hand or hair may (Zhong et al., 2020, arXiv:1708.04896).

    probability: of drawing a rectangle; it may lie partly or wholly outside of the image.
    side: the largest side of the rectangle, as a fraction of the image's.
    """

    def __init__(self, probability: float = 0.4, side: float = 0.4):
        self.probability, self.side = probability, side

    def __call__(self, sample: dict) -> dict:
        coin, x, y, w, h, level = torch.rand(6).tolist()
        if coin >= self.probability:
            return sample
        image = sample["image"].copy()
        height, width = image.shape[:2]
        x0, y0 = int((x - self.side / 2) * width), int((y - self.side / 2) * height)
        x1, y1 = x0 + int((0.1 + 0.9 * w) * self.side * width), y0 + int((0.1 + 0.9 * h) * self.side * height)
        image[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = int(level * 255)
        return {**sample, "image": image}


# What training and evaluation do to a sample, side by side: nothing random reaches a test image.


def training_transform(policy: CropPolicy) -> Callable[[dict], dict]:
    from torchvision.transforms import Compose  # here, because it takes as long as torch and prediction needs none

    return Compose([RandomCropFace(policy), RandomLight(), RandomErase(), Normalize(), ToTensor()])


def evaluation_transform(policy: CropPolicy) -> Callable[[dict], dict]:
    from torchvision.transforms import Compose

    return Compose([CropFace(policy), Normalize(), ToTensor()])


# --- The geometry of the transforms, without randomness ------------------------------------------------------------


def resize(sample: dict, height: int, width: int) -> dict:
    """Image and keypoints at (height, width). Reducing averages, enlarging interpolates."""
    image = sample["image"]
    matrix = geometry.resize_matrix(*image.shape[:2], height, width)
    smaller = height * width < image.shape[0] * image.shape[1]
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return {**sample, "image": image, "keypoints": geometry.transform_points(sample["keypoints"], matrix)}


def crop(sample: dict, top: int, left: int, height: int, width: int) -> dict:
    """The window of the image whose first pixel is (left, top)."""
    image = sample["image"][top : top + height, left : left + width]
    keypoints = sample["keypoints"] - np.array([left, top], dtype=np.float32)
    return {**sample, "image": image, "keypoints": keypoints}


def crop_face(sample: dict, policy: CropPolicy, mirror: bool = False, **change) -> dict:
    """The policy's crop around the keypoints; `mirror` and `change` are those of `geometry.crop_matrix`.

    A mirrored face is renumbered: what was the right eye is the left one now.
    """
    matrix = geometry.crop_matrix(geometry.box_of(sample["keypoints"]), policy, mirror=mirror, **change)
    keypoints = geometry.transform_points(sample["keypoints"], matrix)
    image = geometry.warp(sample["image"], matrix, policy.size, policy.size)
    return {**sample, "image": image, "keypoints": keypoints[FLIP] if mirror else keypoints}


def gray_tensor(image: np.ndarray) -> torch.Tensor:
    """What a network sees of an RGB crop: (S, S, 3) uint8 → (1, S, S) float32 in [0, 1], as Normalize and ToTensor."""
    return torch.from_numpy(to_gray(image)[None])


def to_gray(image: np.ndarray) -> np.ndarray:
    """RGB (H, W, 3) uint8 → gray (H, W) float32 in [0, 1]."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255


def normalize_keypoints(keypoints: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixels → -1 … 1 between the edges of the image, which are at -0.5 and size - 0.5."""
    return ((2 * keypoints + 1) / np.array([width, height]) - 1).astype(np.float32)


def denormalize_keypoints(keypoints: np.ndarray, height: int, width: int) -> np.ndarray:
    """The way back from `normalize_keypoints`, to pixels."""
    return (((keypoints + 1) * np.array([width, height]) - 1) / 2).astype(np.float32)


def main() -> None:
    arguments = parser(__doc__.split("\n\nA sample")[0])
    commands = arguments.add_subparsers(dest="command", required=True, metavar="{download,check}")
    get = commands.add_parser("download", help="get the public data set, or what is missing of it")
    get.add_argument("--data", type=Path, default=DATA_DIR, help="where to put it (default: data)")
    check = commands.add_parser("check", help="print an audit of a data set")
    check.add_argument("directory", type=Path, help="folder with training_frames_keypoints.csv and training/")
    args = arguments.parse_args()
    if args.command == "download":
        download.download_dataset(args.data)
    else:
        import audit  # here, because it stands above this file and only this command needs it

        audit.check(args.directory)


if __name__ == "__main__":
    run(main)
