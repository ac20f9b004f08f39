"""Face filters: pictures with transparent parts (glasses, a moustache, a hat) laid on faces by their landmarks.

    overlays = [load_overlay("glasses"), load_overlay("my_hat.png@hat")]
    picture = draw_overlays(image, landmarker(image), overlays)

An overlay lies on the average face: the origin is between the eyes, 1 is the distance of the outer eye corners, y
points down. Three anchors of it, the middles of both eyes and of the mouth's corners, are about in one plane, so they
give the affine map from the average face to one in a picture: it turns and scales, becomes narrower as the face turns
to the side, and lower as it nods. Where the overlay lies comes from landmarks that it touches, which lie in other
depths than that plane: on a turned head glasses stay on the bridge of the nose, and a hat above the ears.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from face68 import geometry
from face68.files import InputError
from face68.images import read_cutout, reduced
from face68.landmarks import (
    JAW_ENDS,
    LEFT_EYE,
    MOUTH_CORNERS,
    NOSE_BASE,
    NOSE_ROOT,
    NOSE_TIP,
    RIGHT_EYE,
    UPPER_LIP,
    Face,
)
from face68.measures import as_ibug68

# The anchors: landmarks, and where their means are on the average face: medians of 690 faces of 300-W that look into
# the camera, their nose's tip within 6% of the eye distance of the middle.
ANCHORS = ((RIGHT_EYE, (-0.36, 0.0)), (LEFT_EYE, (0.36, 0.0)), (MOUTH_CORNERS, (0.0, 0.74)))

PICTURES = Path(__file__).parent / "pictures"  # of the overlays that come with the library
LONGEST = 1024  # px of an overlay's longer side in memory; the eyes of a face that shows more are 640 px apart


@dataclass(frozen=True)
class Place:
    """Where an overlay lies and how it follows the face. Lengths are in distances of the outer eye corners.

    landmarks: it follows their mean.
    below: how far its middle, or the middle of its lower edge where it is a `foot`, lies below that mean.
    width: of the whole picture.
    narrowest: the least ratio of its scales across and along: 1 for a round thing, which looks alike from all sides,
        less for a flat one, which becomes narrow with the face. Wrong points can't squeeze it further.
    """

    landmarks: list[int]
    below: float
    width: float
    foot: bool = False
    narrowest: float = 0.4  # that of a plane turned by 66°


# By the names of the overlays that come with the library, NAME.png (drawn by curation/overlays.py of commit 545270d).
_ON_THE_BRIDGE = Place(NOSE_ROOT, below=-0.05, width=1.6)
PLACES = {
    "glasses": _ON_THE_BRIDGE,
    "sunglasses": _ON_THE_BRIDGE,
    "moustache": Place([NOSE_BASE, UPPER_LIP], below=0.0, width=1.2),  # which no open mouth moves
    "nose": Place([NOSE_TIP, NOSE_BASE], below=0.02, width=1.8),
    "ears": Place(JAW_ENDS, below=-0.6, width=2.0, foot=True),
    "hat": Place(JAW_ENDS, below=-0.85, width=1.2, foot=True, narrowest=1.0),
}
DEFAULT_PLACE = "glasses"  # of a user's picture


class Overlay:
    """A picture and its place.

    levels: the picture, (H, W, 4) uint8, colours multiplied by alpha, so that transparent pixels add none to an
        average; and the same halved again and again, as textures are (Williams, 1983), so that a small overlay is an
        average, and of the same pixels in every frame of a film.
    """

    def __init__(self, picture: np.ndarray, place: Place):
        """picture: (H, W, 4) uint8 RGBA."""
        colours = cv2.multiply(picture[..., :3], cv2.merge([picture[..., 3]] * 3), scale=1 / 255)
        self.place = place
        self.levels = [reduced(np.dstack([colours, picture[..., 3]]), LONGEST)[0]]
        while min(self.levels[-1].shape[:2]) >= 16:
            height, width = self.levels[-1].shape[:2]
            self.levels.append(geometry.resize(self.levels[-1], height // 2, width // 2))

    def matrix(self, keypoints: np.ndarray) -> np.ndarray | None:
        """The 2×3 matrix from the pixels of `levels[0]` to those of an image with a face (68, 2) px.

        None: the points aren't finite, or all in one place.
        """
        keypoints = np.asarray(keypoints, dtype=np.float64)
        linear = face_matrix(keypoints, self.place.narrowest) if np.isfinite(keypoints).all() else None
        if linear is None:
            return None
        height, width = self.levels[0].shape[:2]
        linear_px = linear * (self.place.width / width)
        held = np.array([(width - 1) / 2, height - 0.5 if self.place.foot else (height - 1) / 2])
        target = keypoints[self.place.landmarks].mean(axis=0) + linear @ [0.0, self.place.below]
        return np.column_stack([linear_px, target - linear_px @ held])


def face_matrix(keypoints: np.ndarray, narrowest: float) -> np.ndarray | None:
    """The linear part (2, 2) of the map from the average face to one (68, 2) px, by the three anchors.

    Its singular values are its greatest and its least scale. The least, with its sign, is kept above `narrowest` times
    the greatest: so the map is never flat and never mirrors, as that of guessed points of a profile might, and changes
    without jumps as the head turns. None: all anchors are in one place.
    """
    means = np.array([keypoints[points].mean(axis=0) for points, _ in ANCHORS])
    average = np.array([mean for _, mean in ANCHORS])
    linear = (means[1:] - means[0]).T @ np.linalg.inv((average[1:] - average[0]).T)
    left, scales, right = np.linalg.svd(linear)
    if scales[0] < 1e-3:  # px
        return None
    if np.linalg.det(left @ right) < 0:  # it mirrors
        right[1], scales[1] = -right[1], -scales[1]
    return left * [scales[0], max(scales[1], narrowest * scales[0])] @ right


def load_overlay(name: str | Path) -> Overlay:
    """An overlay by its name, one of PLACES; or from a picture: FILE lies where glasses do, FILE@NAME where NAME does.

    Raises:
        InputError: there is no such overlay or file, or the picture can't be read or has no transparent pixel.
    """
    name = str(name)
    if name in PLACES:
        return Overlay(read_cutout(PICTURES / f"{name}.png"), PLACES[name])
    file, at, place = name.rpartition("@")
    if not at or Path(name).exists():  # an @ may belong to a file's name
        file, place = name, DEFAULT_PLACE
    if place not in PLACES:
        raise InputError(f"{name}: there is no place @{place}; use one of @{', @'.join(PLACES)}")
    if not Path(file).suffix and not Path(file).exists():
        raise InputError(f"{name}: no such overlay; use one of {', '.join(PLACES)}, or name a picture, FILE.png")
    return Overlay(read_cutout(file), PLACES[place])


def draw_overlays(image: np.ndarray, faces: Sequence[Face], overlays: Sequence[Overlay]) -> np.ndarray:
    """A copy of the image (H, W, 3) uint8 RGB with the overlays on each face, later ones above; in part or not at all
    where a face is outside.

    Raises:
        InputError: the faces' scheme doesn't map to iBUG's 68 points.
    """
    drawn = np.array(image, order="C")
    for face in map(as_ibug68, faces):
        for overlay in overlays:
            matrix = overlay.matrix(face.keypoints)
            if matrix is not None:
                _lay(drawn, *_at_size(overlay.levels, matrix))
    return drawn


def _at_size(levels: Sequence[np.ndarray], matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The level that is at most twice as large as the overlay appears, and the matrix from its pixels."""
    level = levels[min(int(math.log2(max(1, 1 / geometry.scale_of(matrix)))), len(levels) - 1)]
    enlarged = geometry.resize_matrix(*level.shape[:2], *levels[0].shape[:2])
    return level, np.column_stack([matrix[:, :2] @ enlarged[:, :2], matrix[:, :2] @ enlarged[:, 2] + matrix[:, 2]])


def _lay(image: np.ndarray, picture: np.ndarray, matrix: np.ndarray) -> None:
    """Put a picture (H, W, 4), premultiplied, moved by a 2×3 matrix, over an image; only that part is touched."""
    height, width = picture.shape[:2]
    corners = np.array([[-1, -1], [width, -1], [width, height], [-1, height]])  # where bilinear sampling fades out
    x0, y0, x1, y1 = geometry.box_of(geometry.transform_points(corners, matrix))
    rows, columns = image.shape[:2]
    x0, y0 = (int(np.clip(np.floor(v), 0, end)) for v, end in ((x0, columns), (y0, rows)))
    x1, y1 = (int(np.clip(np.ceil(v) + 1, 0, end)) for v, end in ((x1, columns), (y1, rows)))
    if x1 <= x0 or y1 <= y0:
        return
    part = image[y0:y1, x0:x1]
    moved = np.column_stack([matrix[:, :2], matrix[:, 2] - (x0, y0)])
    laid = geometry.warp(picture, moved, *part.shape[:2])
    behind = cv2.merge([255 - laid[..., 3]] * 3)
    # Without a slice of `laid`, which OpenCV would first copy, slower than all the rest.
    part[:] = cv2.add(cv2.cvtColor(laid, cv2.COLOR_RGBA2RGB), cv2.multiply(part, behind, scale=1 / 255))
