"""Draw the pictures of the README that no command of a user's draws.

python -m docs.pictures overview docs/overview.jpg    # what this repository does, at one glance
python -m docs.pictures overlays docs/overlays.jpg    # the face filters, on a photograph and on drawn heads that turn
python -m docs.pictures page docs/page.webp           # the page in web/, in Chromium, on a desk and on a phone
"""

import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.page import chromium, complete_page, find_program, says, served
from datasets.synthetic import Frame, draw, random_person, random_video
from datasets.synthetic.films import frames
from face68 import geometry
from face68.draw import (
    contact_sheet,
    draw_faces,
    fit,
    label,
)
from face68.images import read_image, write_image
from face68.inputs import demonstration_photo
from face68.landmarker import Landmarker
from face68.landmarks import Face
from face68.overlays import draw_overlays, load_overlay

# A portrait by NASA, in the public domain: https://flic.kr/p/r9qvLn, as it comes with scikit-image.
COLLINS = Path(__file__).parent / "collins.jpg"


def overlay_sheet(tile: int = 160) -> np.ndarray:
    """The overlays on the photograph that comes with matplotlib, then on invented people who turn by 45° to each side,
    where their exact labels are.
    """
    photo = read_image(demonstration_photo())
    (face,) = Landmarker()(photo)
    matrix = geometry.crop_matrix(
        geometry.box_of(face.keypoints), geometry.CropPolicy(tile, margin=2.1), shift=(0, 0.1)
    )
    shown = []
    for names in (["glasses"], ["sunglasses"], ["moustache"], ["sunglasses", "moustache"], ["ears", "nose"]):
        shown.append((names, geometry.warp(_wearing(photo, face, names), matrix, tile, tile)))
    rng = np.random.default_rng(3)
    for names in (["glasses", "moustache", "hat"], ["ears", "nose"]):
        person = replace(random_person(rng), glasses=False, beard="none")
        video = replace(random_video(rng), size=(2 * tile, 2 * tile), noise=0.0)
        for yaw in (-45, -22, 0, 22, 45):
            image, labels = draw(person, video, Frame(yaw=yaw, roll=yaw / 4, face_width=0.34, centre=(0.5, 0.66)))
            drawn = _wearing(image, Face(tuple(geometry.box_of(labels)), None, labels), names)
            shown.append((names, geometry.resize(drawn, tile, tile)))
    captions = [", ".join(names) for names, _ in shown]
    return contact_sheet([picture for _, picture in shown], 5, tile, captions)


def overview_picture() -> np.ndarray:
    """What this repository does, at one glance: a photograph with its keypoints, and beside it four views of what else.

    The photographs are of Grace Hopper, which comes with matplotlib, and of Eileen Collins; several faces at once are
    drawn ones.
    """
    landmarker = Landmarker()
    hopper, collins, group = read_image(demonstration_photo()), read_image(COLLINS), next(frames("four")).image
    (of_hopper,), (of_collins,) = landmarker(hopper), landmarker(collins)
    tile, gap = (296, 440), 8  # height and width, px
    height = 2 * tile[0] + gap

    matrix = _view(of_hopper, (height, height), width=0.5, centre=(0.5, 0.6))
    first = draw_faces(geometry.warp(hopper, matrix, height, height), [of_hopper.moved(matrix)])
    matrix = _view(of_collins, tile, width=0.46, centre=(0.5, 0.44))
    unscored = replace(of_collins.moved(matrix), score=None, face_score=None)  # which would be written above the face
    unsure = draw_faces(geometry.warp(collins, matrix, *tile), [unscored], confidence=True)
    turned = geometry.warp(hopper, _view(of_hopper, tile, width=0.43, centre=(0.46, 0.44), degrees=125), *tile)
    turned = draw_faces(turned, landmarker(turned))
    group = fit(group, round(tile[0] * group.shape[1] / group.shape[0]))
    left = (group.shape[1] - tile[1]) // 2
    group = group[: tile[0], left : left + tile[1]]
    group = draw_faces(group, landmarker(group))
    matrix = _view(of_collins, tile, width=0.29, centre=(0.5, 0.52))
    wearing = _wearing(geometry.warp(collins, matrix, *tile), of_collins.moved(matrix), ["sunglasses", "ears"])

    band = height // 15
    columns = [
        [label(first, "68 keypoints of every face", band)],
        [label(unsure, "rings: how far off each may be", band), label(group, "several faces at once", band)],
        [label(turned, "turned by any angle", band), label(wearing, "face filters that fit", band)],
    ]
    return _side_by_side([_side_by_side(column, gap, axis=0) for column in columns], gap, axis=1)


def page_picture() -> np.ndarray:
    """The page in web/: a photograph with expected errors on a desk, the correction of points on a phone at night."""
    height = 720  # px
    shots = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "web")
        complete_page(folder)
        with served(folder) as address, chromium(find_program()) as context:
            page = context.new_page()
            page.goto(address)
            page.set_input_files("#files", demonstration_photo())
            says(page, re.compile(" ms with "))
            page.check("#rings")
            for width, colors in ((1100, "light"), (380, "dark")):
                page.set_viewport_size({"width": width, "height": height})
                page.emulate_media(color_scheme=colors)
                page.wait_for_timeout(500)  # until it is drawn
                shots.append(read_image(page.screenshot()))
                page.evaluate("() => document.getElementById('correct').click()")
    return _side_by_side(shots, 8, axis=1)


def _view(face: Face, size: tuple[int, int], width: float, centre=(0.5, 0.5), degrees: float = 0.0) -> np.ndarray:
    """The 2×3 matrix to a frame of `size` (height, width) px in which the face is `width` of its width wide and has the
    middle of its points at `centre`, shares of width and height; turned clockwise around that.
    """
    x0, y0, x1, y1 = geometry.box_of(face.keypoints)
    target = centre[0] * size[1], centre[1] * size[0]
    return geometry.similarity(((x0 + x1) / 2, (y0 + y1) / 2), target, width * size[1] / (x1 - x0), degrees)


def _side_by_side(pictures: Sequence[np.ndarray], gap: int, axis: int) -> np.ndarray:
    """Pictures of one height in a row (axis 1), or of one width below each other (axis 0), white between them."""
    shape = list(pictures[0].shape)
    shape[axis] = gap
    white = np.full(shape, 255, np.uint8)
    parts = [part for picture in pictures for part in (white, picture)]
    return np.concatenate(parts[1:], axis=axis)


def _wearing(image: np.ndarray, face: Face, names: Sequence[str]) -> np.ndarray:
    return draw_overlays(image, [face], [load_overlay(name) for name in names])


if __name__ == "__main__":
    name, path = sys.argv[1:]
    write_image(path, {"overview": overview_picture, "overlays": overlay_sheet, "page": page_picture}[name]())
