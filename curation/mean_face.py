"""The mean face in 3D that head poses are measured with, from the labels of real faces in 2D.

    python -m curation.mean_face data 300w afw    # prints the table of face68/measures.py; data sets in either layout

All faces are taken for views of one solid (Tomasi & Kanade, "Shape and motion from image streams under orthography",
1992): in turn each view's pose is fitted to the solid and the solid to all views, from the mean of the drawn people's
calm heads on. What labels alone hardly tell is how deep a face is: a flatter one that turns more looks nearly the same
(the bas-relief ambiguity; Belhumeur, Kriegman & Yuille, 1999). Left free, the depth from the outer corners of the eyes
to the tip of the nose drifts between 0.34 and 0.46 eye distances with where one starts, while the squared distances to
the labels change by less than 2%. So that depth is the drawn heads', 0.52, and the rest the labels'. A face that
is flatter by a fifth costs up to 2° of yaw and pitch on drawn heads. Pitch is 0 where faces that look ahead have it on
average.
"""

import math
import sys

import numpy as np

from data_load import open_split
from datasets.synthetic import Frame, random_person
from datasets.synthetic.head import HeadShape, frontal_points
from datasets.synthetic.pose import rotation
from face68.landmarks import FLIP, OUTER_EYE_CORNERS
from face68.measures import CAMERA_DISTANCE, NOSE_TIP, POSED, Solid, angles

ROUNDS = 40
FACES = 1500  # of each data set, evenly
AHEAD = 15  # degrees of yaw within which a face looks ahead
MIRROR = (-1, 1, 1)


def drawn_face(people: int = 200) -> np.ndarray:
    """The mean (68, 3) of drawn people's calm faces."""
    rng = np.random.default_rng(0)
    shapes = [random_person(rng).shape for _ in range(people)]
    return np.mean([HeadShape(frontal_points(s, Frame()), s).landmarks(np.eye(3)) for s in shapes], axis=0)


def learn(views: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean face (68, 3), NaN for the jaw, and the weights of its points (68,), from faces (N, 68, 2) px."""
    mirrored = np.searchsorted(POSED, FLIP[POSED])
    views, face, weights = views[:, POSED].astype(np.float64), start[POSED], np.ones(len(POSED))
    tip, right, left = np.searchsorted(POSED, (NOSE_TIP, *OUTER_EYE_CORNERS))
    drawn = face = (face - face.mean(axis=0)) / (face[left, 0] - face[right, 0])
    for _ in range(ROUNDS):
        solid = Solid(face, weights)
        fits = [solid.fit(view, CAMERA_DISTANCE) for view in views]
        cameras = np.stack([turn[:2] for turn, _, _ in fits])  # (N, 2, 3)
        seen = np.stack([points / scale for _, scale, points in fits])  # (N, P, 2)
        flat = cameras.reshape(-1, 3)
        found = np.linalg.solve(flat.T @ flat, flat.T @ seen.transpose(0, 2, 1).reshape(len(flat), -1)).T
        errors = ((seen - np.einsum("nij,pj->npi", cameras, found)) ** 2).sum(axis=2).mean(axis=0)
        weights = 2 / (errors + errors[mirrored])
        found *= (1, 1, -1)
        found = (found + found[mirrored] * MIRROR) / 2
        face = (found - found.mean(axis=0)) / (found[left, 0] - found[right, 0])
        # Pitched as the drawn face, and its nose as long.
        (yy, yz), (zy, zz) = face[:, 1:].T @ drawn[:, 1:]
        face = face @ rotation(0, math.degrees(math.atan2(zy - yz, yy + zz))).T
        face[:, 2] *= (drawn[tip, 2] - drawn[left, 2]) / (face[tip, 2] - face[left, 2])
    poses = np.array([angles(turn) for turn, _, _ in fits])
    ahead = poses[np.abs(poses[:, 0]) < AHEAD, 1].mean()
    whole, all_weights = np.full((len(start), 3), np.nan), np.zeros(len(start))
    whole[POSED], all_weights[POSED] = face @ rotation(0, ahead).T, weights / weights.mean()
    return whole, all_weights


def main() -> None:
    sets = [open_split(folder, "training").keypoints for folder in sys.argv[1:]]
    views = np.concatenate([points[:: -(-len(points) // FACES)] for points in sets])
    face, weights = learn(views, drawn_face())
    print(f"# {len(views)} faces")
    for index in POSED[FLIP[POSED] <= POSED]:
        x, y, z = face[index] - face[27]
        print(f"    {index}: ({x:.3f}, {y:.3f}, {z:.3f}, {weights[index]:.2f}),")


if __name__ == "__main__":
    main()
