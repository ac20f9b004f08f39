"""A training's settings, and the names of the files that it writes."""

from dataclasses import asdict, dataclass
from pathlib import Path

BEST, LAST, PREVIOUS, CURVE = "best.pt", "last.pt", "best.previous.pt", "history.csv"
EXPORTED, CURVES, FACES = "best.onnx", "training_curves.png", "validation_faces.png"
UNTRAINED, LEARNING = "untrained_faces.png", "learning.png"
WRITTEN = (BEST, LAST, PREVIOUS, CURVE, EXPORTED, CURVES, FACES, UNTRAINED, LEARNING)
HISTORY = ("epoch", "train_loss", "val_loss", "seconds")  # columns of history.csv, beside that of what was measured:
MEASURES = {"val_nme": "NME (inter-ocular)", "val_1_minus_ap": "1 - AP"}  # one of these, and as people call it
MAY_DIFFER = (
    "data",
    "output_dir",
    "device",
    "workers",
    "cache_dir",
    "cache_mb",
    "resume",
    "dry_run",
    "overwrite",
    "tensorboard",
)


@dataclass(frozen=True)
class Settings:
    """The options of a run as the command line gave them, or their defaults. A checkpoint holds them."""

    epochs: int
    model: str
    model_option: dict
    loss: str
    optimizer: str
    lr: float
    weight_decay: float | None
    heatmap_weight: float
    init: Path | None
    batch_size: int
    precision: str
    data: list[Path]
    cache_dir: Path
    cache_mb: int
    balance: float
    published_labels: bool
    one_annotator: bool
    folds: int
    val_fold: int
    train_faces: int | None
    seed: int
    device: str
    workers: int
    output_dir: Path
    resume: bool
    dry_run: bool
    overwrite: bool
    tensorboard: Path | None

    def plain(self) -> dict:
        """Values that a checkpoint can hold: paths as text."""
        values = asdict(self) | {"data": [str(path) for path in self.data]}
        return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
