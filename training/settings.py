"""A training's settings, the names of the files that it writes, and the columns of its history."""

from argparse import Namespace
from pathlib import Path

Settings = Namespace  # the arguments of train.py, where each option is defined

BEST, LAST, PREVIOUS, EXPORTED = "best.pt", "last.pt", "best.previous.pt", "best.onnx"
HISTORY, TRAINING_CURVES, LEARNING = "history.csv", "training_curves.png", "learning.png"
UNTRAINED_FACES, VALIDATION_FACES = "untrained_faces.png", "validation_faces.png"
WRITTEN = (
    *(BEST, LAST, PREVIOUS, EXPORTED),
    *(HISTORY, TRAINING_CURVES, LEARNING, UNTRAINED_FACES, VALIDATION_FACES),
)
COLUMNS = ("epoch", "train_loss", "val_loss", "seconds")  # of every history.csv; each has one of these errors besides:
MEASURES = {"val_nme": "NME (inter-ocular)", "val_1_minus_ap": "1 - AP"}  # column: its name for people


def as_plain(settings: Settings) -> dict:
    """The settings as a checkpoint holds them: paths as text."""
    values = vars(settings) | {"data": [str(path) for path in settings.data]}
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
