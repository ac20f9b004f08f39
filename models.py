"""The networks: of keypoints in gray crops of faces, and one that finds faces in pictures. `create_model` builds them.

A network of keypoints takes a batch (B, 1, S, S) of gray crops in [0, 1] and returns keypoints, (B, 68, 2) or (B, 136),
or `Outputs`; of other points, whose number its class takes as `points`, as many in place of 68. To add a network, write
its class and add it to `MODELS`; checkpoints store its name and options. Class attributes describe it: `input_size` is
S (default 112), `predicts_errors` is True if it returns log errors and face logits, `finds_faces` is True for a
detector.
"""

import inspect
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from face68.annotators import Annotator
from face68.files import InputError
from face68.geometry import CropPolicy
from face68.landmarks import IBUG68, NUM_LANDMARKS, face_frames
from face68.network import CELL
from face68.schemes import Scheme

RARE = -5.0  # the initial logit of a detector's scores: few cells have a face's centre


class Outputs(NamedTuple):
    """A network's outputs for B crops; fields that it doesn't predict are None.

    keypoints: (B, 68, 2), x before y, -1 and 1 are the edges of the crop.
    log_errors: (B, 68), the natural logarithm of each point's expected distance from the truth, in the same unit.
    face_logits: (B,), the logit of the probability that the crop shows an upright face.
    heatmaps: (B, 68, H, W), the logits of each point's position; only in training, for the loss.
    visible_logits: (B, 68), the logit of the probability that each point can be seen.
    """

    keypoints: Tensor
    log_errors: Tensor | None = None
    face_logits: Tensor | None = None
    heatmaps: Tensor | None = None
    visible_logits: Tensor | None = None


def as_outputs(returned: Outputs | Tensor, points: int = NUM_LANDMARKS) -> Outputs:
    """`Outputs` of so many points from those, or from keypoints alone, (B, 136) or (B, 68, 2).

    Raises:
        InputError: the network returned something else.
    """
    keypoints = returned.keypoints if isinstance(returned, Outputs) else returned
    if isinstance(keypoints, Tensor) and keypoints.ndim > 1 and keypoints[0].numel() == 2 * points:
        return returned if isinstance(returned, Outputs) else Outputs(returned.reshape(-1, points, 2))
    what = f"a tensor {tuple(keypoints.shape)}" if isinstance(keypoints, Tensor) else f"a {type(returned).__name__}"
    raise InputError(f"--model: the network returns {what}; let it return Outputs or keypoints (B, {points}, 2)")


class DetectorOutputs(NamedTuple):
    """A detector's outputs for B pictures, for each cell of CELL × CELL px, all but the first about the nearest face.

    score_logits: (B, H, W), the logit of the probability that a face has its centre in the cell.
    centers: (B, 2, H, W), x and y from the cell's centre to the face's, in cells.
    log_sides: (B, H, W), the natural logarithm of the side, in cells, of the square around the face's level 68 points.
    axes: (B, 2, H, W), x and y of the direction from its right eye to its left eye, a vector of about length 1.
    """

    score_logits: Tensor
    centers: Tensor
    log_sides: Tensor
    axes: Tensor


class Net(nn.Module):
    """The classic network for this task: convolutions, pooling and dropout, then fully connected layers.

    In the manner of LeNet and of "NaimishNet" (Agarwal et al., 2017, arXiv:1710.00977), with batch normalisation
    so that it trains at ordinary learning rates. (B, 1, 224, 224) → (B, 136). It is the baseline that stays.
    """

    input_size = 224

    def __init__(self, points=NUM_LANDMARKS):
        super().__init__()
        self.features = nn.Sequential(
            # Each block halves the map:           (B,   1, 224, 224)
            *self._block(1, 16, kernel=5, drop=0.0),  # (B,  16, 112, 112)
            *self._block(16, 32, kernel=3, drop=0.0),  # (B,  32,  56,  56)
            *self._block(32, 64, kernel=3, drop=0.05),  # (B,  64,  28,  28)
            *self._block(64, 128, kernel=3, drop=0.05),  # (B, 128,  14,  14)
            *self._block(128, 192, kernel=3, drop=0.1),  # (B, 192,   7,   7)
        )
        self.regressor = nn.Sequential(
            nn.Flatten(),  # (B, 9408)
            nn.Linear(192 * 7 * 7, 256),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(256, 2 * points),  # (B, 136)
        )

    @staticmethod
    def _block(channels_in: int, channels_out: int, kernel: int, drop: float) -> list[nn.Module]:
        return [
            nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout2d(drop),
        ]

    def forward(self, images: Tensor) -> Tensor:
        return self.regressor(self.features(images))


def conv(channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution and batch normalisation; the caller adds the ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(channels_out),
    )


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut (He et al., 2016, arXiv:1512.03385)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1):
        super().__init__()
        self.body = nn.Sequential(
            conv(channels_in, channels_out, stride=stride), nn.ReLU(), conv(channels_out, channels_out)
        )
        same = stride == 1 and channels_in == channels_out
        self.shortcut = nn.Identity() if same else conv(channels_in, channels_out, kernel=1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


class Pyramid(nn.Module):
    """The backbone of our networks: features at 1/8 of the picture's size, with context from coarser scales.

    A stem reduces the picture to 1/4; residual stages work at 1/4, 1/8, 1/16 and 1/32; a feature pyramid adds the
    coarse stages' features to the 1/8 map (Lin et al., 2017, arXiv:1612.03144).

    channels: of the picture. widths: channels of the stem and of the four stages.
    """

    def __init__(self, channels: int, widths: Sequence[int]):
        super().__init__()
        stem, *stages = widths
        self.stem = nn.Sequential(conv(channels, stem, stride=2), nn.ReLU(), conv(stem, stages[0], stride=2), nn.ReLU())
        self.stages = nn.ModuleList(
            ResidualBlock(before, width, stride=1 if i == 0 else 2)
            for i, (before, width) in enumerate(zip([stages[0], *stages[:-1]], stages, strict=True))
        )
        finer, coarser = stages[1:-1], stages[2:]
        self.lateral = nn.ModuleList(conv(c, f, kernel=1) for f, c in zip(finer, coarser, strict=True))
        self.merge = nn.ModuleList(ResidualBlock(f, f) for f in finer)

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, channels, H, W) → features at 1/8, (B, widths[2], H/8, W/8), and the coarsest stage's, at 1/32."""
        x = self.stem(images)  # (B, widths[1], H/4, W/4)
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        # From the coarsest level down to 1/8
        for lateral, merge, finer in zip(
            reversed(self.lateral), reversed(self.merge), reversed(levels[1:-1]), strict=True
        ):
            x = F.interpolate(lateral(x), size=finer.shape[-2:], mode="bilinear", align_corners=False)
            x = merge(F.relu(x + finer))
        return x, levels[-1]


class HeatmapNet(Pyramid):
    """A heat map for each point, read out by soft-argmax: small, fast on a CPU, and the network that we ship.

    Each cell of the 1/8 map predicts 2×2 cells of every point's heat map (sub-pixel convolution: Shi et al., 2016,
    arXiv:1609.05158): a wide map at 1/8 costs less than one at 1/4 and is as accurate. The point is the mean position
    under the map's softmax (Sun et al., 2018, "Integral Human Pose Regression", arXiv:1711.08229), so it isn't bound to
    the grid and the loss is on coordinates.

    Heads judge the result. The points learn nothing from the first two. A point's expected error is a power of its heat
    map's width, with an exponent and a factor learned for each point. A small classifier on the coarsest stage tells
    faces from background. With `visibility` a third head says which points can be seen: it has a map of logits for each
    point, and their mean under the point's heat map is the answer. `calibration` (offset, slope) corrects the log
    errors; train.py fits it on people that training never saw.

    (B, 1, S, S) → keypoints (B, 68, 2), log errors (B, 68), face logits (B,), visible logits (B, 68), and in training
    heat maps (B, 68, S/4, S/4). S is a multiple of 8.

    widths: see `Pyramid`. points: their number, above 68.
    """

    input_size = 112
    predicts_errors = True

    def __init__(self, widths=(16, 32, 88, 112, 160), visibility=False, points=NUM_LANDMARKS):
        super().__init__(1, widths)
        self.heatmaps = nn.Sequential(nn.Conv2d(widths[2], 4 * points, 1), nn.PixelShuffle(2))
        self.exponent = nn.Parameter(torch.ones(points))
        self.log_factor = nn.Parameter(torch.zeros(points))
        self.face = nn.Sequential(nn.Linear(widths[-1], 64), nn.ReLU(), nn.Linear(64, 1))
        self.visibility = nn.Conv2d(widths[2], points, 1) if visibility else None
        self.register_buffer("calibration", torch.tensor([0.0, 1.0]))

    def forward(self, images: Tensor) -> Outputs:
        x, coarsest = self.features(images)
        cells = self.heatmaps[0](x)  # (B, 4 · 68, S/8, S/8): 2×2 cells of a map are channels of one cell
        heatmaps = None
        if self.training:
            heatmaps = self.heatmaps[1](cells)  # (B, 68, S/4, S/4)
            keypoints, width = position_and_width(spatial_softmax(heatmaps))
        else:  # the same but for rounding, in two thirds of the time: the cells aren't rearranged to maps
            keypoints, width = position_and_width_of_cells(cells)
        exponent, log_factor = (
            self.calibration[1] * self.exponent,
            self.calibration[0] + self.calibration[1] * self.log_factor,
        )
        log_errors = exponent * width.detach().log() + log_factor  # (B, 68)
        face_logits = self.face(coarsest.detach().mean(dim=(2, 3))).flatten()  # (B,)
        visible_logits = None if self.visibility is None else mean_under(cells.detach(), self.visibility(x))
        return Outputs(keypoints, log_errors, face_logits, heatmaps, visible_logits)


class DetectorNet(Pyramid):
    """Finds faces of any roll: each is a peak of one map (Zhou et al., 2019, "Objects as Points", arXiv:1904.07850).

    Every cell of the 1/8 map predicts the probability that a face has its centre there, and that face's centre, size
    and direction. It is small: it runs on whole photos, and the landmark network then judges its detections.
    `calibration` (offset, slope) corrects the score logits; train.py fits it on people that training never saw.

    (B, 3, H, W) RGB in [0, 1] → `DetectorOutputs` of H/8 × W/8 cells. H and W are multiples of 32.

    widths: see `Pyramid`.
    """

    input_size = 192  # of the pictures that it is trained on
    finds_faces = True

    def __init__(self, widths=(8, 16, 32, 56, 72)):
        super().__init__(3, widths)
        self.head = nn.Sequential(conv(widths[2], widths[2]), nn.ReLU(), nn.Conv2d(widths[2], 6, 1))
        nn.init.constant_(self.head[-1].bias[0], RARE)
        self.register_buffer("calibration", torch.tensor([0.0, 1.0]))

    def forward(self, images: Tensor) -> DetectorOutputs:
        score_logits, centers, log_sides, axes = self.head(self.features(images)[0]).split([1, 2, 1, 2], dim=1)
        return DetectorOutputs(
            self.calibration[0] + self.calibration[1] * score_logits[:, 0], centers, log_sides[:, 0], axes
        )


def spatial_softmax(heatmaps: Tensor) -> Tensor:
    """Each map of logits (B, K, H, W) as probabilities that sum to 1 over its H × W cells."""
    return heatmaps.flatten(2).softmax(dim=-1).view(heatmaps.shape)


def position_and_width(probability: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the position under maps of probabilities (B, K, H, W).

    Returns:
        (B, K, 2), x before y, and (B, K), at least 1e-3; -1 and 1 are the edges of the map.
    """
    height, width = probability.shape[-2:]
    means, variance = [], 0
    for marginal, count in ((probability.sum(dim=2), width), (probability.sum(dim=3), height)):
        centres = cell_centres(count, like=probability)
        means.append(marginal @ centres)  # (B, K)
        variance = variance + marginal @ centres**2 - means[-1] ** 2
    return torch.stack(means, dim=-1), variance.clamp(min=1e-6).sqrt()


def position_and_width_of_cells(cells: Tensor) -> tuple[Tensor, Tensor]:
    """`position_and_width` of the maps that `nn.PixelShuffle(2)` would make of logits (B, 4 · K, H, W).

    The order of a mean's terms is free: one product with the cells' centres gives all moments.
    """
    _, channels, height, width = cells.shape
    # Channel 2i + j of cell (h, w) is at (2h + i, 2w + j); pixel_unshuffle knows, but onnxscript 0.7.0 exports another.
    x = cell_centres(2 * width, like=cells).view(width, 2).T[None, :, None, :]
    y = cell_centres(2 * height, like=cells).view(height, 2).T[:, None, :, None]
    x, y = x.expand(2, 2, height, width), y.expand(2, 2, height, width)
    terms = torch.stack([x, y, x**2 + y**2], dim=-1).reshape(-1, 3)  # (4 · H · W, 3)
    moments = cells.reshape(-1, channels // 4, 4 * height * width).softmax(dim=-1) @ terms  # (B, K, 3)
    means = moments[..., :2]
    variance = moments[..., 2] - (means**2).sum(dim=-1)
    return means, variance.clamp(min=1e-6).sqrt()


def mean_under(cells: Tensor, maps: Tensor) -> Tensor:
    """The means (B, K) of maps (B, K, H, W) under the probabilities of logits (B, 4 · K, H, W), four to each cell."""
    probability = cells.reshape(*maps.shape[:2], -1).softmax(dim=-1).view(*maps.shape[:2], 4, -1).sum(dim=2)
    return (probability * maps.flatten(2)).sum(dim=-1)


def cell_centres(count: int, like: Tensor) -> Tensor:
    """The centres of `count` cells that lie side by side from -1 to 1."""
    return (torch.arange(count, dtype=like.dtype, device=like.device) * 2 + 1) / count - 1


# The family that we ship: one architecture in three sizes. Larger networks also take larger crops, which keep more of
# a photo's detail.


class Fast(HeatmapNet):
    """26 million multiply-adds a face."""

    def __init__(self, widths=(8, 16, 44, 56, 80), visibility=False, points=NUM_LANDMARKS):
        super().__init__(widths, visibility, points)


class Base(HeatmapNet):
    """101 million multiply-adds a face."""

    input_size = 128

    def __init__(self, widths=(16, 32, 72, 104, 144), visibility=False, points=NUM_LANDMARKS):
        super().__init__(widths, visibility, points)


class Large(HeatmapNet):
    """400 million multiply-adds a face."""

    input_size = 160

    def __init__(self, widths=(24, 48, 124, 160, 224), visibility=False, points=NUM_LANDMARKS):
        super().__init__(widths, visibility, points)


# "heatmap" is the family's predecessor.
MODELS = {"fast": Fast, "base": Base, "large": Large, "heatmap": HeatmapNet, "net": Net, "detector": DetectorNet}


def create_model(name: str, annotators: Sequence[str] = (), scheme: Scheme = IBUG68, **options) -> nn.Module:
    """Build a network by its name in `MODELS`; `options` go to its constructor. Its `name` and `options` are kept for
    checkpoints. Its `annotators` learn how several annotators differ, given by name; of fewer than two they are None.
    scheme: of its points.

    Raises:
        KeyError: there is no such network.
    """
    model = MODELS[name](**options)
    model.name, model.options = name, options
    model.annotators = Annotators(annotators, scheme) if len(annotators) > 1 else None
    return model


BY_LABELS = ("points", "visibility")  # options that follow from what is labelled


def read_option(model: str, text: str) -> tuple[str, int | float | tuple]:
    """Name and value of a network's option from text such as "widths=16,32,88,112,160".

    Raises:
        InputError: the network has no such option, or its default is of another kind than the value.
    """
    name, _, value = text.partition("=")
    parameters = inspect.signature(MODELS[model]).parameters.values()
    defaults = {option.name: option.default for option in parameters if option.name not in BY_LABELS}
    if name not in defaults:
        known = ", ".join(f"{option}={option_text(default)}" for option, default in defaults.items())
        raise InputError(f"--model-option {text}: {model} has {f'these: {known}' if known else 'none'}")
    default = defaults[name]
    kinds = [type(one) for one in (default if isinstance(default, tuple) else (default,))]
    try:
        values = tuple(kind(part) for kind, part in zip(kinds, value.split(","), strict=True))
    except ValueError:
        values = ()
    if not values or any(isinstance(one, int) and one < 1 for one in values):
        raise InputError(f"--model-option {text}: expected as many numbers above 0 as in {name}={option_text(default)}")
    return name, values if isinstance(default, tuple) else values[0]


def option_text(value: int | float | tuple) -> str:
    """An option's value as `read_option` reads it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def input_size(name: str) -> int:
    """The side in px of the input of a network of `MODELS`."""
    return getattr(MODELS[name], "input_size", CropPolicy.size)


def predicts_errors(name: str) -> bool:
    """Whether a network of `MODELS` returns log errors and face logits."""
    return getattr(MODELS[name], "predicts_errors", False)


def finds_faces(name: str) -> bool:
    """Whether a network of `MODELS` is a detector, not a network of keypoints."""
    return getattr(MODELS[name], "finds_faces", False)


class PixelOutputs(nn.Module):
    """A network for prediction and export: gray bytes in, pixels of the crop out.

    (B, 1, S, S) uint8 → keypoints (B, 68, 2) float32 px, x before y, pixel centres at integers; and if it predicts them
    errors (B, 68) px, each point's expected distance from the truth, face scores (B,) in 0 … 1, and the probability
    (B, 68) that each point can be seen.
    """

    def __init__(self, model: nn.Module, size: int, points: int = NUM_LANDMARKS):
        super().__init__()
        self.model, self.size, self.points = model, size, points

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        outputs = as_outputs(self.model(crops.to(torch.float32) / 255), self.points)
        keypoints = outputs.keypoints * (self.size / 2) + (self.size - 1) / 2
        if outputs.log_errors is None:
            return (keypoints,)
        judgement = outputs.log_errors.exp() * (self.size / 2), outputs.face_logits.sigmoid()
        visible = () if outputs.visible_logits is None else (outputs.visible_logits.sigmoid(),)
        return keypoints, *judgement, *visible


def faces_in_pixels(maps: DetectorOutputs) -> Tensor:
    """Each cell's face, (B, 5, H, W): x and y of its centre and its side in px of the picture, pixel centres at
    integers, and x and y of the direction from its right eye to its left eye.
    """
    rows, columns = maps.score_logits.shape[-2:]
    x = torch.arange(columns, dtype=torch.float32, device=maps.centers.device) + 0.5
    y = torch.arange(rows, dtype=torch.float32, device=maps.centers.device) + 0.5
    cells = torch.stack([x[None, :].expand(rows, columns), y[:, None].expand(rows, columns)])
    return torch.cat([(cells + maps.centers) * CELL - 0.5, maps.log_sides.exp()[:, None] * CELL, maps.axes], dim=1)


class PixelDetector(nn.Module):
    """A detector for prediction and export: bytes in, pixels out.

    (B, 3, H, W) uint8 RGB → scores (B, H/8, W/8) in 0 … 1 and faces (B, 5, H/8, W/8), see `faces_in_pixels`.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.model(pictures.to(torch.float32) / 255)
        return maps.score_logits.sigmoid(), faces_in_pixels(maps)


class Annotators(nn.Module):
    """The offsets of each annotator's points from the reference's, learned together with a network; see
    face68/annotators.py.

    They are mirror-symmetric where the scheme says how, so that mirrored faces are valid training samples. An
    asymmetric difference is a shift of the labels, see `datasets.layout.LabelShift`.

    names: the annotators, at least two; the first is the reference. scheme: of the points.

    `errors` (N, 2), factor and scatter of each annotator, are fitted by `training.keypoints.calibrate`.
    """

    def __init__(self, names: Sequence[str], scheme: Scheme = IBUG68):
        super().__init__()
        self.names, self.scheme = tuple(names), scheme
        self.others = nn.Parameter(torch.zeros(len(names) - 1, len(scheme), 2))
        self.register_buffer("errors", torch.tensor([1.0, 0.0]).repeat(len(names), 1))

    def offsets(self) -> Tensor:
        """Each annotator's offsets, (N, 68, 2), see `face68.annotators.Annotator`."""
        offsets = self.others
        if self.scheme.mirror is not None:
            offsets = (offsets + offsets[:, self.scheme.mirror] * offsets.new_tensor([-1.0, 1.0])) / 2
        return torch.cat([torch.zeros_like(self.others[:1]), offsets])

    def learned(self) -> dict[str, Annotator]:
        """The annotators by name."""
        offsets = self.offsets().detach().cpu().numpy()
        return {
            name: Annotator(*values, *errors)
            for name, *values, errors in zip(self.names, offsets, self.errors.tolist(), strict=True)
        }

    def to_reference(self, labels: Tensor, annotators: Tensor) -> Tensor:
        """Labels (B, 68, 2) as the reference would have put them; annotators: (B,) indices, of each face's."""
        return labels - self._moves(labels, annotators)

    def to_annotator(self, points: Tensor, annotators: Tensor) -> Tensor:
        """The network's points (B, 68, 2) as those annotators would have put them."""
        return points + self._moves(points, annotators)

    def _moves(self, points: Tensor, annotators: Tensor) -> Tensor:
        """The annotators' offsets (B, 68, 2), turned and scaled to the points (B, 68, 2)."""
        axes, _, sides = (
            torch.from_numpy(v).to(points) for v in face_frames(points.detach().cpu().numpy(), self.scheme)
        )
        return self.offsets()[annotators] @ axes * sides[:, None, None]
