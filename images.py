"""Image files in and out: every kind that Pillow or OpenCV reads, always as (H, W, 3) uint8 RGB."""

import io
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageOps

from cli import InputError, atomic_path

IMAGE_SUFFIXES = frozenset(".jpg .jpeg .png .webp .bmp .tif .tiff .gif .avif .jp2 .ppm .pgm".split())


def read_image(source: str | Path | bytes | BinaryIO) -> np.ndarray:
    """Read an image: (H, W, 3) uint8 RGB, decoded by its content, upright."""
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    image = Image.open(io.BytesIO(data))
    image = ImageOps.exif_transpose(image)
    if image.mode == "RGBA":
        return cv2.cvtColor(np.asarray(image), cv2.COLOR_RGBA2RGB)
    return np.array(image.convert("RGB"))
