"""Surfaces in the light: grids of 3D points, shaded by a lamp and drawn into a picture, near ones over far ones."""

import cv2
import numpy as np

from datasets.synthetic.people import Video
from datasets.synthetic.pose import Camera

SUPERSAMPLE = 2  # a picture is drawn this much larger, then averaged down


def shade(video: Video, normals: np.ndarray, colour: np.ndarray, gloss: np.ndarray) -> np.ndarray:
    """The colours (N, 3) that surface samples of these colours show in the video's light, in sRGB.

    normals: (N, 3); gloss: (N,). The light is one lamp, light from everywhere, and a highlight on glossy skin; it is
    added up in linear values.
    """
    lit = np.clip((normals @ video.lamp + 0.15) / 1.15, 0, None)[:, None]
    rim = 0.75 + 0.25 * np.clip(normals[:, 2:], 0, 1)  # surfaces seen edge-on get less light from around
    half = video.lamp + (0, 0, 1)
    shine = np.clip(normals @ (half / np.linalg.norm(half)), 0, 1) ** 22 * gloss
    linear = (np.clip(colour, 0, 255) / 255) ** 2.2
    linear = linear * (video.ambient * rim + (1.15 - video.ambient) * lit * video.tint) + 0.22 * shine[:, None]
    return 255 * np.clip(linear, 0, 1) ** (1 / 2.2)


class Picture:
    """Collects surface samples and draws them over a background, near ones over far ones.

    background: (H, W, 3) float32, `supersample` times as large as the picture. `camera` gives pixels of the picture.
    video: its light is used.
    """

    def __init__(self, background: np.ndarray, camera: Camera, video: Video, supersample: float = SUPERSAMPLE):
        self.image, self.camera, self.video, self.supersample = background, camera, video, supersample
        self.surfaces: list[tuple[np.ndarray, ...]] = []  # pixel, z, normal, colour and gloss of each one's samples

    def step(self, span: float) -> int:
        """How many samples a surface needs along a length of `span` model units so that few holes are left."""
        return int(np.ceil(span * self.camera.scale * self.supersample * 1.15)) + 2

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
        right, down = np.gradient(grid, axis=1), np.gradient(grid, axis=0)
        towards = right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]  # z of the normal
        facing = towards != 0 if inside else towards > 0
        if keep is not None:
            facing &= keep
        kept = np.nonzero(facing)
        x, y = np.rint(self.supersample * self.camera(grid[kept]) + (self.supersample - 1) / 2).astype(int).T
        height, width = self.image.shape[:2]
        within = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        kept = kept[0][within], kept[1][within]
        normal = np.cross(right[kept], down[kept])
        if inside:
            normal *= np.where(normal[:, 2:] < 0, -1, 1)
        colour, gloss = np.broadcast_to(colour, (*facing.shape, 3))[kept], np.broadcast_to(gloss, facing.shape)[kept]
        self.surfaces.append(((y * width + x)[within], grid[..., 2][kept], normal, colour, gloss))

    def nearest(self) -> np.ndarray:
        """The number of the sample seen at each pixel, (H, W); -1 where there is none."""
        pixel, z, *_ = map(np.concatenate, zip(*self.surfaces, strict=True))
        order = np.argsort((z * 4000).astype(np.int16), kind="stable")  # 16 bits sort fastest
        nearest = np.full(self.image.shape[:2], -1)
        nearest.flat[pixel[order]] = order  # the last one written, the nearest, stays
        return nearest

    def draw(self) -> np.ndarray:
        """The picture (H, W, 3) float32 in 0…255, at the drawing size. Only visible samples are shaded."""
        nearest = self.nearest()
        seen = nearest >= 0
        samples = map(np.concatenate, zip(*self.surfaces, strict=True))
        _, z, normal, colour, gloss = (part[nearest[seen]] for part in samples)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        self.image[seen] = shade(self.video, normal, colour, gloss)
        depth = np.full(seen.shape, -9, np.float32)
        depth[seen] = z
        # pixels between the samples, where something farther shines through
        holes = depth < cv2.medianBlur(depth, 5) - 0.025
        self.image[holes] = cv2.medianBlur(self.image, 5)[holes]
        return self.image
