"""What a network sees: its filters, its feature maps, its heat maps, how hiding parts of a face moves its points, and a
photo's way through detector and passes. `visualize.py` draws them.

It works for any network of `MODELS`: forward hooks record the layers. Pictures are the network's input: a crop, (S, S)
uint8 gray, or for a detector (H, W, 3) uint8 RGB.
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
from face68.landmarker import Landmarker, next_frames
from face68.landmarks import IBUG68, Face, unit_length
from face68.network import Network, Predictions
from face68.schemes import Scheme
from models import as_outputs, spatial_softmax
from training.checkpoint import TorchDetector, TorchNetwork, open_checkpoint

STEPS = 28  # positions of the hiding square, across and down
HIDDEN = 1 / 4  # its side, as a share of the crop's
Inspected = TorchNetwork | TorchDetector


def open_network(path: Path, keypoints: bool = False) -> Inspected:
    """A checkpoint's network, or with `keypoints` only a network of keypoints.

    Raises:
        InputError: the file is an exported one, no usable checkpoint, or a detector's where that won't do.
    """
    if path.suffix.lower() == ".onnx":
        raise InputError(f"{path}: an exported network hides its layers; give the .pt that it was made from")
    return TorchNetwork(path) if keypoints else open_checkpoint(path)


# --- Input ----------------------------------------------------------------------------------------------------


def find_face(image: np.ndarray, name: str | Path, detector: str | Path, scheme: Scheme = IBUG68) -> FaceBoxes:
    """The detector's box of the largest face in a photo (H, W, 3) uint8 RGB, see `open_detector`; for a scheme without
    eyes the whole photo.

    The shipped network judges whether it is a face, so that every inspected network sees the same one.

    Raises:
        InputError: there is no face in the photo of that name.
    """
    if not scheme.eyes:
        return FaceBoxes(geometry.whole_box(*image.shape[:2])[None], np.ones(1), np.zeros(1))
    landmarker = Landmarker(detector=detector, largest=True)
    boxes = landmarker.detect(image)
    (faces,) = landmarker.faces([image], [boxes])
    if not faces:
        raise InputError(f"{name}: no face was found; give a photo with a larger or clearer one")
    (chosen,) = np.flatnonzero((boxes.boxes == faces[0].box).all(axis=1))[:1]
    return FaceBoxes(*(values[[chosen]] for values in boxes))


def first_crop(image: np.ndarray, found: FaceBoxes, policy: CropPolicy) -> np.ndarray:
    """The crop of a network's first pass, but in colour: (S, S, 3) uint8 RGB."""
    matrix = geometry.crop_matrix(found.boxes[0], policy, degrees=found.degrees[0])
    return geometry.warp(image, matrix, policy.size, policy.size)


def shown_to(network: Inspected, image: np.ndarray, name: str | Path, detector: str | Path) -> np.ndarray:
    """A network's input for a photo (H, W, 3) uint8 RGB: the largest face's crop, (S, S) uint8 gray, or for a detector
    the photo as it is first searched, (H, W, 3) uint8.

    Raises:
        InputError: there is no face in the photo of that name.
    """
    if isinstance(network, TorchNetwork):
        found = find_face(image, name, detector, network.scheme)
        return cv2.cvtColor(first_crop(image, found, network.policy), cv2.COLOR_RGB2GRAY)
    return open_detector(detector).picture_of(image, SEARCHES[0])[0]


def as_batch(picture: np.ndarray) -> Tensor:
    """A picture as a batch (1, C, H, W) float32 in [0, 1]."""
    channels = picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1)
    return torch.from_numpy(channels[None].astype(np.float32) / 255)


# --- Layers ---------------------------------------------------------------------------------------------------


class Filters(NamedTuple):
    """The filters of a network's first convolution.

    layer: its name. weights: (F, C, K, K), of a picture with C channels.
    responses: (F, H, W), the convolution's output, before any normalisation.
    """

    layer: str
    weights: np.ndarray
    responses: np.ndarray


@torch.inference_mode()
def layer_maps(network: Inspected, picture: np.ndarray) -> dict[str, np.ndarray]:
    """The maps (C, H, W) of every layer that has some, by the layer's name, in the order of computation.

    Layers are the network's modules at any depth: "stages.1" is one, and so is "stages.1.body.0" within it.
    """
    model, maps = network.model.model, {}

    def keep(name: str):
        def hook(_module, _inputs, output) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and output[0, 0].numel() > 1:
                maps[name] = output[0].float().numpy().copy()  # the next layer may work in place

        return hook

    hooks = [module.register_forward_hook(keep(name)) for name, module in model.named_modules() if name]
    try:
        model(as_batch(picture))
    finally:
        for hook in hooks:
            hook.remove()
    return maps


def choose_layer(maps: dict[str, np.ndarray], picture: np.ndarray, name: str | None = None) -> str:
    """The layer of that name. By default the last one whose maps are at least a quarter as wide as the picture: most
    networks detect edges and parts of a face there, and the face is still recognisable.

    Raises:
        InputError: there is no such layer, or none has maps.
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


def first_filters(network: Inspected, picture: np.ndarray) -> Filters:
    """The filters of the first convolution, and their responses to the picture.

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
    """The probability of each point's position: (68, H, W), each map sums to 1; None if the network has no heat maps.

    Our networks return heat maps only in training mode. It is set on the outermost module alone, so that all layers
    work as in prediction.
    """
    model = network.model.model
    model.training = True
    try:
        heatmaps = as_outputs(model(as_batch(crop)), len(network.scheme)).heatmaps
    finally:
        model.training = False
    return None if heatmaps is None else spatial_softmax(heatmaps.float())[0].numpy()


def needed_heat_maps(network: TorchNetwork, crop: np.ndarray) -> np.ndarray:
    """`heat_maps`.

    Raises:
        InputError: the network has none.
    """
    if (heat := heat_maps(network, crop)) is None:
        model = network.checkpoint["model"]
        raise InputError(f"{network.path}: a {model} network has no heat maps; look at its features, or name another")
    return heat


# --- Occlusion ------------------------------------------------------------------------------------------------


class Occlusion(NamedTuple):
    """The points while a gray square hides a part of the crop.

    centers: (G,) px of the crop, the square's positions across and down.
    side: px, of the square. fill: its gray level.
    plain: (68, 2) px of the crop, the points without the square.
    moved: (G, G, 68, 2) px, the points with the square at a row and column of `centers`.
    """

    centers: np.ndarray
    side: int
    fill: int
    plain: np.ndarray
    moved: np.ndarray
    scheme: Scheme = IBUG68

    def shifts(self, points: list[int]) -> np.ndarray:
        """The mean shift of these points, (G, G), as a fraction of `unit_length`."""
        distances = np.linalg.norm(self.moved - self.plain, axis=-1)[..., points]
        return distances.mean(axis=-1) / unit_length(self.plain, self.scheme)

    def hide(self, crop: np.ndarray, row: int, column: int) -> np.ndarray:
        """A copy of the crop (S, S) uint8 with the square at a row and column of `centers`."""
        hidden = crop.copy()
        y, x = (round(self.centers[i] - (self.side - 1) / 2) for i in (row, column))
        hidden[max(0, y) : y + self.side, max(0, x) : x + self.side] = self.fill
        return hidden


def occlude(network: Network, crop: np.ndarray) -> Occlusion:
    """Hide each part of a crop (S, S) uint8 in turn behind a square of its mean gray. The parts that the points depend
    on move them (Zeiler & Fergus, 2014, "Visualizing and Understanding Convolutional Networks").
    """
    size = network.policy.size
    centers = (np.arange(STEPS) + 0.5) * size / STEPS - 0.5
    (plain,) = network(crop[None]).keypoints
    scheme = getattr(network, "scheme", IBUG68)
    occlusion = Occlusion(centers, round(HIDDEN * size), round(crop.mean()), plain, np.empty(0), scheme)
    rows = [
        network(np.stack([occlusion.hide(crop, row, column) for column in range(STEPS)])).keypoints
        for row in range(STEPS)
    ]
    return occlusion._replace(moved=np.stack(rows))


# --- Annotators ----------------------------------------------------------------------------------------------


def other_annotators(network: TorchNetwork, crop: np.ndarray) -> tuple[np.ndarray, list[str], dict]:
    """A network's points (68, 2) px of a crop (S, S) uint8; the names of its annotators, the reference first; and for
    each other one, by name, the points as it would have put them, (68, 2) px, and its offsets, see `Annotator`.

    Raises:
        InputError: it was trained on the labels of one annotator.
    """
    names = list(network.annotators)
    if not names:
        raise InputError(f"{network.path}: learned from one kind of labels; train it on several: --data, several times")
    points = Predictions(network(crop[None]).keypoints, None, None)
    others = {
        name: (to_annotator(points, network, name).keypoints[0], network.annotators[name].offsets) for name in names[1:]
    }
    return points.keypoints[0], names, others


# --- A photo's way --------------------------------------------------------------------------------------------


class RecordingNetwork:
    """A network of keypoints that records its inputs and its points, crop by crop."""

    def __init__(self, network: Network):
        self.network = network
        self.policy, self.path, self.predicts_errors = network.policy, network.path, network.predicts_errors
        self.scheme = network.scheme
        self.crops, self.keypoints = [], []

    def __call__(self, crops: np.ndarray) -> Predictions:
        outputs = self.network(crops)
        self.crops += list(crops)
        self.keypoints += list(outputs.keypoints)
        return outputs


class PredictionTrace(NamedTuple):
    """The steps of a photo's prediction.

    image: (H, W, 3) uint8 RGB.
    searched: (height, width) px of the picture that the detector searched first.
    found: the detector's box of the face.
    colour: (S, S, 3) uint8 RGB, the first crop.
    crops: (3, S, S) uint8 gray, the network's input in each pass; the last one is mirrored.
    keypoints: (3, 68, 2) px of these crops.
    heat: the first crop's `heat_maps`.
    points: (3, 68, 2) px of the photo, the points of each pass; the next pass is framed by them.
    face: the result.
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
    """Predict the largest face of a photo (H, W, 3) uint8 RGB as `Landmarker` does, and record the steps.

    Raises:
        InputError: there is no face in the photo of that name.
    """
    found, recording = find_face(image, name, detector, network.scheme), RecordingNetwork(network)
    landmarker = Landmarker(recording)
    # The passes: in the detector's box, upright, and upright in the mirror
    passes = [landmarker.predict([image], found.boxes, found.degrees)]
    for mirror in (False, True):
        frames, degrees = next_frames(passes[-1].keypoints, found.boxes, network.scheme)
        passes.append(landmarker.predict([image], frames, degrees, mirror))
    ((face,),) = Landmarker(network, min_face_score=0).faces([image], [found])
    factor = min(1.0, SEARCHES[0] / max(image.shape[:2]))
    return PredictionTrace(
        image=image,
        searched=tuple(round(factor * side) for side in image.shape[:2]),
        found=found,
        colour=first_crop(image, found, network.policy),
        crops=np.stack(recording.crops),
        keypoints=np.stack(recording.keypoints),
        heat=heat_maps(network, recording.crops[0]),
        points=np.concatenate([one.keypoints for one in passes]),
        face=face,
    )
