"""Surfaces in the light: grids of 3D points, shaded by a lamp and drawn into a picture, near ones over far ones."""

from dataclasses import dataclass

import cv2
import numpy as np

from curation.drawn.pose import Camera

SUPERSAMPLE = 2  # the picture is drawn this much larger, then averaged down


@dataclass(frozen=True, eq=False)
class Lamp:
    """The light of a picture: one lamp, light from everywhere, and a highlight on glossy skin."""

    direction: np.ndarray
    ambient: float
    tint: np.ndarray

    def shade(self, normals: np.ndarray, colour: np.ndarray, gloss: np.ndarray) -> np.ndarray:
        """Colours (N, 3) of gloss (N,) as lit on a surface with normals (N, 3). Both are sRGB; light adds linearly."""
        lit = np.clip((normals @ self.direction + 0.15) / 1.15, 0, None)[:, None]
        rim = 0.75 + 0.25 * np.clip(normals[:, 2:], 0, 1)  # surfaces seen edge-on get less light from around
        half = self.direction + (0, 0, 1)
        shine = np.clip(normals @ (half / np.linalg.norm(half)), 0, 1) ** 22 * gloss
        linear = (np.clip(colour, 0, 255) / 255) ** 2.2
        linear = linear * (self.ambient * rim + (1.15 - self.ambient) * lit * self.tint) + 0.22 * shine[:, None]
        return 255 * np.clip(linear, 0, 1) ** (1 / 2.2)


class Picture:
    """Collects lit surface samples and draws them over a background, near ones over far ones."""

    def __init__(self, background: np.ndarray, camera: Camera, lamp: Lamp):
        self.image, self.camera, self.lamp = background, camera, lamp
        self.at, self.z, self.colour = [], [], []

    def step(self, span: float) -> int:
        """How many samples a surface of this span (model units) needs to leave few holes."""
        return int(np.ceil(span * self.camera.scale * SUPERSAMPLE * 1.15)) + 2

    def add(
        self,
        grid: np.ndarray,
        colour: np.ndarray,
        gloss: float | np.ndarray,
        keep: np.ndarray | None = None,
        inside: bool = False,
    ) -> None:
        """Add a surface.

        grid: posed points (R, C, 3), with rows downwards and columns to the right as seen from outside.
        colour, gloss: RGB and shine of the samples; they broadcast to (R, C, 3) and (R, C).
        keep: which samples to keep (R, C).
        inside: whether the surface is seen from inside too.
        """
        grid = grid.astype(np.float32)
        normals = np.cross(np.gradient(grid, axis=1), np.gradient(grid, axis=0))
        if inside:
            normals *= np.where(normals[..., 2:] < 0, -1, 1)
        facing = normals[..., 2] > 0
        if keep is not None:
            facing &= keep
        at = np.rint(SUPERSAMPLE * self.camera(grid) + (SUPERSAMPLE - 1) / 2).astype(int)
        height, width = self.image.shape[:2]
        facing &= (at >= 0).all(-1) & (at < (width, height)).all(-1)
        n = normals[facing]
        n /= np.linalg.norm(n, axis=1, keepdims=True)
        gloss = np.broadcast_to(gloss, facing.shape)[facing]
        colour = np.broadcast_to(colour, (*facing.shape, 3))[facing]
        self.at.append(at[facing])
        self.z.append(grid[facing][:, 2])
        self.colour.append(self.lamp.shade(n, colour, gloss))

    def draw(self) -> np.ndarray:
        """The picture (H, W, 3) float in 0…255, at the drawing size."""
        at, z, colour = (np.concatenate(part) for part in (self.at, self.z, self.colour))
        order = np.argsort((z * 4000).astype(np.int16), kind="stable")  # 16 bits sort fastest
        columns, rows = at[order].T
        depth = np.full(self.image.shape[:2], -9, np.float32)
        self.image[rows, columns] = colour[order]  # the last one written, the nearest, stays
        depth[rows, columns] = z[order]
        # pixels between the samples, where something farther shines through
        holes = depth < cv2.medianBlur(depth, 5) - 0.025
        self.image[holes] = cv2.medianBlur(self.image, 5)[holes]
        return self.image
