"""Plots of what a data set holds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from face68.draw import VERMILION, schematic_face
from face68.files import InputError
from face68.landmarks import IBUG68
from face68.schemes import Scheme
from plots.errors import mean_face
from plots.style import COLORS, GRAY, as_picture, draw_schematic, new_figure, plain_name, to_hex


def plot_audit(splits: Sequence[dict], title: str, face: np.ndarray | None = None, scheme: Scheme = IBUG68):
    """What a data set holds, a colour a split: sizes, light, pose, people, points outside, label shift. A figure.

    splits: of each one
        name;
        eyes (N,), the inter-ocular distance in px; poses (N, 3), yaw, pitch and roll in degrees; of N labelled faces;
        outside (68,), the share of faces whose point is outside of the image, and shift (68, 2), the mean label shift
        of each point as a fraction of the mean inter-ocular distance; None where there are no faces;
        sides (M,), the longer side in px, and brightness (M,), the mean gray level, 0 … 255, of M images;
        people, a set of names.
    face, scheme: of the points, see `errors.mean_face`.
    """
    figure, axes = new_figure(10.5, 9.6, 3, 3)
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    people, outside, shift = axes[2]
    histograms = [
        ("Size of the faces", f"{scheme.norm} distance, px", [one["eyes"] for one in splits]),
        ("Size of the images", "longer side, px", [one["sides"] for one in splits]),
        ("Brightness", "mean gray level, 0 to 255", [one["brightness"] for one in splits]),
        ("Yaw: turned sideways", "degrees", [one["poses"][:, 0] for one in splits]),
        ("Pitch: turned up or down", "degrees", [one["poses"][:, 1] for one in splits]),
        ("Roll: tilted", "degrees", [one["poses"][:, 2] for one in splits]),
    ]
    for panel, (heading, xlabel, columns) in zip(axes[:2].flat, histograms, strict=True):
        _histograms(panel, [one["name"] for one in splits], columns, heading, xlabel)
    _people(people, splits)
    faces = [one for one in splits if one["outside"] is not None]
    points = schematic_face() if face is None else face, scheme
    _points_outside(figure, outside, faces, *points)
    _label_shift(shift, faces, *points)
    figure.suptitle(plain_name(title))
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def _histograms(axes, names: Sequence[str], columns: Sequence[np.ndarray], title: str, xlabel: str) -> None:
    """Shares of values (N,) by split, in bins that are the same for all; what is far out is in the outermost ones.

    Values that aren't finite are left out. A dotted line is at each median.
    """
    from matplotlib.ticker import MaxNLocator

    columns = [values[np.isfinite(values)] for values in columns]
    every = np.concatenate(columns)
    low, high = np.quantile(every, [0.001, 0.999]) if len(every) else (0, 1)
    bins, medians = np.linspace(low, high if high > low else low + 1, 31), []
    for name, values, color in zip(names, columns, map(to_hex, COLORS), strict=False):
        if not len(values):
            continue
        shown, weights = np.clip(values, low, high), np.full(len(values), 100 / len(values))
        axes.hist(shown, bins, weights=weights, histtype="stepfilled", alpha=0.2, color=color)
        axes.hist(shown, bins, weights=weights, histtype="step", color=color, linewidth=1.5, label=name)
        medians.append(float(np.median(values)))
        axes.axvline(medians[-1], linestyle=":", color=color, linewidth=1.5)
    axes.set(title=title, ylabel="share, %")
    axes.set_xlabel(f"{xlabel}\nmedians (dotted): {', '.join(f'{median:.0f}' for median in medians)}")
    axes.xaxis.set_major_locator(MaxNLocator(6))


def _people(axes, splits: Sequence[dict]) -> None:
    """How many people each split has, and how many all of them share."""
    counts = [len(split["people"]) for split in splits]
    names, colors = [split["name"] for split in splits], [to_hex(color) for color in COLORS[: len(splits)]]
    if len(splits) > 1:
        names, colors = [*names, "in both"], [*colors, GRAY]
        counts.append(len(set.intersection(*(split["people"] for split in splits))))
    axes.bar_label(axes.bar(names, counts, color=colors, width=0.6))
    axes.set(title="People", ylabel="people")
    axes.margins(y=0.15)
    axes.grid(visible=False, axis="x")


def _points_outside(figure, axes, splits: Sequence[dict], face: np.ndarray, scheme: Scheme) -> None:
    """The share of all faces on which each point lies outside of the image."""
    shares, weights = np.zeros(len(scheme)), [len(split["eyes"]) for split in splits]
    if splits:
        shares = 100 * np.average([split["outside"] for split in splits], axis=0, weights=weights)
    highest = shares.max()
    dots = draw_schematic(axes, shares, 20 if highest > 0 else 0, face, scheme)
    axes.set(title="Points outside of the image" if highest > 0 else "No point lies outside")
    if highest > 0:
        bar = figure.colorbar(dots, ax=axes, location="bottom", shrink=0.9, aspect=30, pad=0.02, label="% of the faces")
        bar.outline.set_visible(False)


def _label_shift(axes, splits: Sequence[dict], face: np.ndarray, scheme: Scheme) -> None:
    """The shift that is taken off the labels, as arrows from where the labels lie, enlarged."""
    shift = splits[0]["shift"] if splits else np.zeros(face.shape)
    draw_schematic(axes, np.zeros(len(scheme)), 0, face, scheme)
    longest = np.linalg.norm(shift, axis=1).max()
    if longest > 0:
        enlarged = 5
        arrows = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.006, "color": to_hex(VERMILION)}
        axes.quiver(*face.T, *(-enlarged * shift.T), **arrows)
        x, y = 100 * shift.mean(axis=0)
        text = f"labels lie {x:+.1f}% to the right, {y:+.1f}% down\n(% of the inter-ocular distance);\n"
        text += f"arrows: from there to the face, {enlarged} × enlarged"
        axes.text(0, 1.65, text, ha="center", va="top", fontsize=9)
    axes.set(title="Label shift" if longest > 0 else "No label shift is known")


def audit_picture(directory: Path) -> np.ndarray:
    """What a data set holds, see `plot_audit`.

    Raises:
        InputError: it can't be used.
    """
    from datasets.audit import audit
    from datasets.layout import NO_SHIFT, find_split, labels_of

    splits, face, scheme = [], None, IBUG68
    for split in audit(directory).splits:
        if split.problem:
            raise InputError(split.problem)
        found, labelled = find_split(directory, split.name), len(split.rows) > 0
        shift = labels_of(directory, found[0])[0] if found else NO_SHIFT
        shifts = shift.of(split.keypoints, split.scheme)
        if labelled and face is None:
            face, scheme = mean_face(split.keypoints, split.scheme), split.scheme
        splits.append(
            {
                "name": split.name,
                "eyes": split.eye_distances,
                "poses": split.poses,
                "outside": split.outside.mean(axis=0) if labelled else None,
                "shift": shifts.mean(axis=0) / split.eye_distances.mean() if labelled else None,
                "sides": split.sizes.max(axis=1, initial=0),
                "brightness": np.array([one.brightness for one in split.images.values() if one.size]),
                "people": split.people,
            }
        )
    faces = " and ".join(f"{len(one['eyes'])} {one['name']}" for one in splits)
    return as_picture(plot_audit(splits, f"What {directory} holds: {faces} faces with labels", face, scheme))
