"""The style of every plot, figures made and written. Matplotlib without pyplot: nothing global is touched.

Matplotlib is imported in functions, for start-up time: those who train or look at samples shouldn't wait for it.
"""

from pathlib import Path

import numpy as np

from face68.draw import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION, YELLOW, schematic_face
from face68.files import MARK, InputError, atomic_path, printable
from face68.landmarks import IBUG68
from face68.schemes import Scheme

COLORS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, YELLOW, INK)  # of what stands side by side
DPI = 150
GRAY, GRID = "#bfbfbf", "#e5e5e5"  # of what only frames the data


def draw_schematic(axes, values: np.ndarray, sizes, face: np.ndarray | None = None, scheme: Scheme = IBUG68):
    """A face (68, 2), by default the schematic one, with a dot a point, coloured by values (68,); returns the dots."""
    face = schematic_face() if face is None else face
    for _, points, closed in scheme.lines:
        line = face[[*points, points[0]] if closed else list(points)]
        axes.plot(*line.T, color=GRAY, linewidth=1)
    dots = axes.scatter(*face.T, s=sizes, c=values, cmap="viridis", edgecolors=to_hex(INK), linewidths=0.6, zorder=3)
    axes.set(aspect="equal", xlim=(-1.6, 1.6), ylim=(1.55, -0.5))
    axes.set_axis_off()
    return dots


def save_figure(figure, path: str | Path) -> None:
    """Write a figure, whole or not at all; the suffix chooses the format.

    Raises:
        InputError: the suffix is no format of matplotlib's, or the file can't be written.
    """
    formats = figure.canvas.get_supported_filetypes()
    if Path(path).suffix[1:].lower() not in formats:
        raise InputError(f"{path}: not a picture's suffix; use one of .{' .'.join(sorted(formats))}")
    with atomic_path(path) as temporary:
        png = Path(path).suffix.lower() == ".png"
        figure.savefig(temporary, dpi=DPI, metadata={"Software": MARK} if png else None)


def as_picture(figure, dpi: int = DPI) -> np.ndarray:
    """A figure as `save_figure` draws it: (H, W, 3) uint8 RGB."""
    figure.set_dpi(dpi)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def new_figure(width: float, height: float, columns: int = 1, rows: int = 1, sharey: bool = False):
    """A figure in inches with axes side by side or below each other, and the axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, sharey=sharey)
    for one in np.ravel(axes):
        one.grid(color=GRID)
        one.set_axisbelow(True)
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def plain_log_ticks(axis) -> None:
    """Ticks of a logarithmic axis as plain numbers: 0.2, 0.3, 0.5, 1, 2, …; its label, set before, gets "(log)"."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")
    axis.set_label_text(f"{axis.get_label_text()} (log)")


def plain_name(name: str) -> str:
    """A file's name as matplotlib shows it: no formula, and not left out of the legend for its first letter."""
    name = printable(name).replace("$", r"\$")
    return f" {name}" if name.startswith("_") else name


def to_hex(color: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def show(picture: np.ndarray, title: str) -> None:
    """Open a window with the picture (H, W, 3) uint8 RGB and wait until it is closed.

    Raises:
        InputError: there is no screen, or matplotlib has no toolkit to open a window with.
    """
    import matplotlib.pyplot as plt

    if plt.get_backend().lower() == "agg":  # what matplotlib falls back to without a screen
        raise InputError("--show: no window can be opened here; leave it out and open the file")
    plt.figure(num=title, frameon=False, layout="constrained")
    plt.imshow(picture)
    plt.axis("off")
    plt.show()
