"""The embedded sample, in the public set's layout: `python prepare.py sample` draws it anew."""

import math
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from datasets.labels import write_csv
from datasets.layout import public_layout
from datasets.synthetic.people import random_frame, random_person, random_video
from datasets.synthetic.scene import draw
from face68.files import InputError, atomic_path

COUNTS = {"training": (50, 2, 2), "test": (25, 1, 2)}  # split: people, videos a person, frames a video
FIRST = [
    "Ada", "Bela", "Cora", "Dario", "Emil", "Fay", "Goran", "Hana", "Ivo", "Jana", "Kofi", "Lena", "Milo",
    "Nia", "Omar", "Pia", "Quin", "Rosa", "Sami", "Tova",
]  # fmt: skip
LAST = [
    "Almond", "Birch", "Cedar", "Dahlia", "Elm", "Fern", "Ginkgo", "Hazel", "Iris", "Juniper", "Kale",
    "Laurel", "Maple", "Nettle", "Olive",
]  # fmt: skip


def write_sample(folder: Path, seed: int) -> None:
    """Draw the sample of a seed into a folder: a new or empty one, or in place of the sample that is there.

    All is drawn before anything is written: stopped in that minute, it leaves the folder as it was.

    Raises:
        InputError: the folder holds anything else, or can't be written to.
    """
    there = {path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()}
    if folder.is_file() or (there and there != sample_files(folder)):  # whose names no seed changes
        raise InputError(f"{folder}: is neither empty nor just a drawn sample; give a new or an empty folder")
    drawn = {}
    for split, counts in COUNTS.items():
        bar = tqdm(pictures(split, seed), desc=split, total=math.prod(counts), unit="picture", disable=None)
        drawn[split] = list(bar)
    for split, faces in drawn.items():
        csv_file, images = public_layout(folder, split)
        for name, data, _ in faces:
            with atomic_path(images / name) as temporary:
                temporary.write_bytes(data)
        names, _, labels = zip(*faces, strict=True)
        write_csv(csv_file, names, np.stack(labels), decimals=2)
    print(f"{folder}: {sum(map(len, drawn.values()))} faces drawn")


def sample_files(folder: Path) -> set[Path]:
    """The places of all files of a sample in a folder."""
    files = set()
    for split, (_, videos, frames) in COUNTS.items():
        csv_file, images = public_layout(folder, split)
        of_split = product(people_names()[split], range(videos), range(frames))
        files |= {csv_file, *(images / picture_name(*which) for which in of_split)}
    return files


def people_names() -> dict[str, list[str]]:
    """The names of each split's people: all different."""
    names = (f"{first}_{LAST[(i + k) % len(LAST)]}" for k in range(4) for i, first in enumerate(FIRST))
    return {split: list(islice(names, count)) for split, (count, _, _) in COUNTS.items()}


def picture_name(person: str, video: int, frame: int) -> str:
    return f"{person}_{video}{frame}.jpg"


def pictures(split: str, seed: int) -> Iterator[tuple[str, bytes, np.ndarray]]:
    """Yield name, content of the JPEG file and labels (68, 2) px of a split's pictures.

    Each person depends on the seed and the name only.
    """
    _, videos, frames = COUNTS[split]
    for name in people_names()[split]:
        rng = np.random.default_rng([seed, *name.encode()])
        person = random_person(rng)
        for v in range(videos):
            video = random_video(rng)
            for f in range(frames):
                image, labels = draw(person, video, random_frame(rng), f)
                yield picture_name(name, v, f), jpeg(image, video.quality), labels


def jpeg(image: np.ndarray, quality: int) -> bytes:
    """The JPEG file of a picture (H, W, 3) uint8 RGB.

    Not by `write_image`, which has one quality for all: here it is a part of the video, as its noise is.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return data.tobytes()
