"""What a network sees: its first filters, the maps of its layers, its heat maps, and which parts of a face its points
hang on; and the way of a photo to its points, pass by pass. `visualize.py` draws them.

For any network of `MODELS`, one of your own too: layers are watched from outside, with forward hooks. Pictures are what
prediction shows the network: a face's crop, (S, S) uint8 gray, or for one that finds faces (H, W, 3) uint8 RGB.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from face68 import geometry
from face68.annotators import to_annotator
from face68.detect import SEARCHES, FaceBoxes, open_detector
from face68.files import InputError
from face68.geometry import CropPolicy
from face68.landmarker import Landmarker, upright_frames
from face68.landmarks import Face, inter_ocular
from face68.network import Network, Predictions
from models import as_outputs, spatial_softmax
from training.checkpoint import TorchDetector, TorchNetwork
from training.onnx_export import open_checkpoint

STEPS = 28  # places of the hiding square, across and down
HIDDEN = 1 / 4  # its side, as a share of the crop's


def open_network(path: Path, keypoints: bool = False) -> TorchNetwork | TorchDetector:
    """A checkpoint's network to look into.

    keypoints: whether only one that places keypoints will do, none that finds faces.

    Raises:
        InputError: the file is exported, no checkpoint that can be used, or of a network that won't do.
    """
    if path.suffix.lower() == ".onnx":
        raise InputError(f"{path}: an exported network hides its layers; give the .pt that it was made from")
    return TorchNetwork(path) if keypoints else open_checkpoint(path)


# --- What it is shown -----------------------------------------------------------------------------------------


def find_face(image: np.ndarray, name: str | Path, detector: str | Path) -> FaceBoxes:
    """The largest face of a photo (H, W, 3) uint8 RGB, where a detector finds it, see `open_detector`.

    What the shipped network takes for no face doesn't count: whatever network is looked into, it sees the same face.

    Raises:
        InputError: there is none in the photo of that name.
    """
    landmarker = Landmarker(detector=detector, largest=True)
    found = landmarker.detect(image)
    (faces,) = landmarker.faces([image], [found])
    if not faces:
        raise InputError(f"{name}: no face was found; give a photo with a larger or clearer one")
    (chosen,) = np.flatnonzero((found.boxes == faces[0].box).all(axis=1))[:1]
    return FaceBoxes(*(values[[chosen]] for values in found))


def first_crop(image: np.ndarray, found: FaceBoxes, policy: CropPolicy) -> np.ndarray:
    """A face that was found as a network's first pass sees it, but in colour: (S, S, 3) uint8 RGB."""
    matrix = geometry.crop_matrix(found.boxes[0], policy, degrees=found.degrees[0])
    return geometry.warp(image, matrix, policy.size, policy.size)


def shown_to(
    network: TorchNetwork | TorchDetector, image: np.ndarray, name: str | Path, detector: str | Path
) -> np.ndarray:
    """What a network is shown of a photo (H, W, 3) uint8 RGB: the largest face's crop, (S, S) uint8 gray, or of one
    that finds faces the photo as it is first searched.

    Raises:
        InputError: there is no face in the photo of that name.
    """
    if isinstance(network, TorchNetwork):
        return cv2.cvtColor(first_crop(image, find_face(image, name, detector), network.policy), cv2.COLOR_RGB2GRAY)
    return open_detector(detector).picture_of(image, SEARCHES[0])[0]


def as_batch(picture: np.ndarray) -> Tensor:
    """A picture as a network takes it: (1, C, H, W) float32 in [0, 1]."""
    channels = picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1)
    return torch.from_numpy(channels[None].astype(np.float32) / 255)


# --- Layers ---------------------------------------------------------------------------------------------------


class Filters(NamedTuple):
    """The filters of a network's first convolution.

    layer: its name.
    weights: (F, C, K, K), C being the channels of the picture.
    responses: (F, H, W), what each makes of the picture, before any normalisation.
    """

    layer: str
    weights: np.ndarray
    responses: np.ndarray


@torch.inference_mode()
def layer_maps(network: TorchNetwork | TorchDetector, picture: np.ndarray) -> dict[str, np.ndarray]:
    """The maps (C, H, W) of every layer that makes some, by the layer's name, in the order in which they come about.

    Layers are the modules within the network, however deep: "stages.1" is one, and "stages.1.body.0" a part of it.
    """
    model, maps = network.model.model, {}

    def keep(name: str):
        def hook(_module, _inputs, output) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and output[0, 0].numel() > 1:
                maps[name] = output[0].float().numpy().copy()  # what comes next may work in place

        return hook

    hooks = [module.register_forward_hook(keep(name)) for name, module in model.named_modules() if name]
    try:
        model(as_batch(picture))
    finally:
        for hook in hooks:
            hook.remove()
    return maps


def choose_layer(maps: dict[str, np.ndarray], picture: np.ndarray, name: str | None = None) -> str:
    """The layer of that name; by default the last whose maps are still a quarter as wide as the picture: there most
    networks see edges and parts of a face, and a reader still sees the face.

    Raises:
        InputError: there is no such layer, or none makes maps.
    """
    if not maps:
        raise InputError("--checkpoint: no layer of this network makes maps; name another, with convolutions")
    if name is None:
        wide = [layer for layer, values in maps.items() if values.shape[2] >= picture.shape[1] / 4]
        return wide[-1] if wide else next(iter(maps))
    if name not in maps:
        outer = ", ".join(layer for layer in maps if layer.count(".") < 2)
        raise InputError(f"--layer {name}: makes no maps here; choose one of {outer}, or a part of one")
    return name


def first_filters(network: TorchNetwork | TorchDetector, picture: np.ndarray) -> Filters:
    """The filters of the convolution that works first, and what they make of the picture.

    Raises:
        InputError: the network has no convolution.
    """
    maps = layer_maps(network, picture)
    layers = {name: module for name, module in network.model.model.named_modules() if isinstance(module, nn.Conv2d)}
    first = next((name for name in maps if name in layers), None)
    if first is None:
        raise InputError(f"{network.path}: has no convolution, so no filters; name another checkpoint")
    return Filters(first, layers[first].weight.detach().float().numpy(), maps[first])


# --- Heat maps ------------------------------------------------------------------------------------------------


@torch.inference_mode()
def heat_maps(network: TorchNetwork, crop: np.ndarray) -> np.ndarray | None:
    """Where each point may be: (68, H, W), probabilities that sum to 1 over the cells of a map; None of a network that
    has no heat maps.

    Ours returns them while training alone: then only its outermost module is told that it trains, and all layers work
    as in prediction.
    """
    model, batch = network.model.model, as_batch(crop)
    said = as_outputs(model(batch))
    if said.heatmaps is None:
        model.training = True
        try:
            said = as_outputs(model(batch))
        finally:
            model.training = False
    return None if said.heatmaps is None else spatial_softmax(said.heatmaps.float())[0].numpy()


def needed_heat_maps(network: TorchNetwork, crop: np.ndarray) -> np.ndarray:
    """`heat_maps`.

    Raises:
        InputError: the network has none.
    """
    if (heat := heat_maps(network, crop)) is None:
        model = network.checkpoint["model"]
        raise InputError(f"{network.path}: a {model} network has no heat maps; look at its features, or name another")
    return heat


# --- What points hang on --------------------------------------------------------------------------------------


class Occlusion(NamedTuple):
    """Where the points go while a gray square hides a part of the crop.

    centers: (G,) px of the crop, of the square, across as well as down.
    side: px, of the square.
    fill: its gray, 0 … 255.
    plain: (68, 2) px of the crop, the points while nothing is hidden.
    moved: (G, G, 68, 2), the points while the square is at a row and column of `centers`.
    """

    centers: np.ndarray
    side: int
    fill: int
    plain: np.ndarray
    moved: np.ndarray

    def shifts(self, points: list[int]) -> np.ndarray:
        """(G, G): how far these points are moved on average, as a fraction of the inter-ocular distance."""
        distances = np.linalg.norm(self.moved - self.plain, axis=-1)[..., points]
        return distances.mean(axis=-1) / inter_ocular(self.plain)

    def hide(self, crop: np.ndarray, row: int, column: int) -> np.ndarray:
        """A copy of the crop (S, S) uint8 with the square at a row and column of `centers`."""
        hidden = crop.copy()
        y, x = (round(self.centers[i] - (self.side - 1) / 2) for i in (row, column))
        hidden[max(0, y) : y + self.side, max(0, x) : x + self.side] = self.fill
        return hidden


def occlude(network: Network, crop: np.ndarray) -> Occlusion:
    """Hide one place of a crop (S, S) uint8 after the other behind a gray square and watch the points: what they hang
    on moves them when it is gone (Zeiler & Fergus, 2014, "Visualizing and Understanding Convolutional Networks").

    The square has the crop's mean gray, so that it adds as little as it can.
    """
    size = network.policy.size
    centers = (np.arange(STEPS) + 0.5) * size / STEPS - 0.5
    (plain,) = network(crop[None]).keypoints
    occlusion = Occlusion(centers, round(HIDDEN * size), round(crop.mean()), plain, np.empty(0))
    rows = [
        network(np.stack([occlusion.hide(crop, row, column) for column in range(STEPS)])).keypoints
        for row in range(STEPS)
    ]
    return occlusion._replace(moved=np.stack(rows))


# --- Annotators ----------------------------------------------------------------------------------------------


def other_annotators(network: TorchNetwork, crop: np.ndarray) -> tuple[np.ndarray, list[str], dict]:
    """A network's points (68, 2) px of a crop (S, S) uint8; the annotators that it knows, its own first; and by each
    other one where they would have put the points, (68, 2) px, with their offsets (68, 2), see `Annotator`.

    Raises:
        InputError: it was trained on the labels of one alone.
    """
    names = list(network.annotators)
    if not names:
        raise InputError(f"{network.path}: learned from one kind of labels; train it on several: --data, several times")
    points = Predictions(network(crop[None]).keypoints, None, None)
    others = {
        name: (to_annotator(points, network, name).keypoints[0], network.annotators[name].offsets) for name in names[1:]
    }
    return points.keypoints[0], names, others


# --- The way of a photo ---------------------------------------------------------------------------------------


class RecordingNetwork:
    """A network of keypoints that keeps what it was shown and what it said, crop by crop."""

    def __init__(self, network: Network):
        self.network = network
        self.policy, self.path, self.predicts_errors = network.policy, network.path, network.predicts_errors
        self.crops, self.keypoints = [], []

    def __call__(self, crops: np.ndarray) -> Predictions:
        said = self.network(crops)
        self.crops += list(crops)
        self.keypoints += list(said.keypoints)
        return said


class PredictionTrace(NamedTuple):
    """How a photo became points.

    image: (H, W, 3) uint8 RGB.
    searched: (height, width) px of the picture in which the detector looked first.
    found: what the detector said of the face.
    colour: (S, S, 3) uint8 RGB, what was cut out first.
    crops: (3, S, S) uint8 gray, what the network saw in each pass; the last one is mirrored.
    keypoints: (3, 68, 2) px of these crops.
    heat: (68, H, W), the first crop's heat maps, see `heat_maps`; None where there are none.
    points: (3, 68, 2) px of the photo, what each pass made of it. Each but the last frames the face for the next one.
    face: what came of it.
    """

    image: np.ndarray
    searched: tuple[int, int]
    found: FaceBoxes
    colour: np.ndarray
    crops: np.ndarray
    keypoints: np.ndarray
    heat: np.ndarray | None
    points: np.ndarray
    face: Face


def follow(network: TorchNetwork, image: np.ndarray, name: str | Path, detector: str | Path) -> PredictionTrace:
    """Predict the largest face of a photo (H, W, 3) uint8 RGB as `Landmarker` does, and keep all that happened.

    Raises:
        InputError: there is no face in the photo of that name.
    """
    found, watched = find_face(image, name, detector), RecordingNetwork(network)
    landmarker = Landmarker(watched)
    passes = [landmarker.predict([image], found.boxes, found.degrees)]
    for mirror in (False, True):
        passes.append(landmarker.predict([image], *upright_frames(passes[-1].keypoints), mirror=mirror))
    ((face,),) = Landmarker(network, min_face_score=0).faces([image], [found])
    factor = min(1.0, SEARCHES[0] / max(image.shape[:2]))
    return PredictionTrace(
        image=image,
        searched=tuple(round(factor * side) for side in image.shape[:2]),
        found=found,
        colour=first_crop(image, found, network.policy),
        crops=np.stack(watched.crops),
        keypoints=np.stack(watched.keypoints),
        heat=heat_maps(network, watched.crops[0]),
        points=np.concatenate([one.keypoints for one in passes]),
        face=face,
    )
