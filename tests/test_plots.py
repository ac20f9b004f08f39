"""Plots show the numbers they got, and sheets the faces."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from conftest import SAMPLE, ink_boxes
from matplotlib.collections import PathCollection
from matplotlib.quiver import Quiver

from data_load import open_split
from face68 import draw
from face68.detect import EMPTY, Detections
from face68.draw import schematic_face
from face68.files import InputError
from plots import data, errors, style
from plots.curves import learning_strip, plot_histories, plot_training_curves


def legend(figure) -> list[str]:
    return [text.get_text() for box in figure.legends for text in box.get_texts()]


def test_ced_says_nme_auc_and_fr_and_draws_them():
    figure = errors.plot_ced({"ours": np.array([0.02, 0.04, 0.06, 0.1]), "_$theirs$": np.array([0.01, 0.2])})
    (axes,) = figure.axes
    assert legend(figure) == [
        "ours: NME 5.50%, AUC@8% 0.375, FR@8% 25.0%",
        r" _\$theirs\$: NME 10.50%, AUC@8% 0.438, FR@8% 50.0%",  # which matplotlib would hide or typeset
    ]
    figure.canvas.draw()
    curve, gap, other, _ = axes.lines
    assert np.interp([1, 5, 8], *curve.get_data()) == pytest.approx([0, 50, 75])
    assert list(gap.get_ydata()) == [75, 100] and gap.get_color() == curve.get_color() != other.get_color()
    (shaded,) = axes.collections
    x, y = shaded.get_paths()[0].vertices.T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert area / (8 * 100) == pytest.approx(0.375, abs=0.002)


def test_points_are_coloured_by_their_errors_and_the_worst_of_each_region_is_named():
    nme = np.full(68, 0.02)
    nme[[8, 20, 30, 45, 60]] = [0.09, 0.05, 0.04, 0.03, 0.06]
    figure = errors.plot_points(nme)
    axes, bar = figure.axes
    (dots,) = [one for one in axes.collections if isinstance(one, PathCollection)]
    np.testing.assert_allclose(dots.get_array(), 100 * nme)
    np.testing.assert_allclose(dots.get_offsets(), schematic_face())
    named = {text.get_text(): text.xy for text in axes.texts}
    assert set(named) == {"8: 9.0%", "20: 5.0%", "30: 4.0%", "45: 3.0%", "60: 6.0%"}
    np.testing.assert_allclose(named["45: 3.0%"], schematic_face()[45])
    assert "inter-ocular" in bar.get_xlabel()


def test_groups_have_their_means_intervals_and_the_mean_of_all():
    ends = [(None, -7), (-7, 7), (7, None)]
    groups = [{"from": low, "to": high, "faces": 9, "nme": 0.02, "interval": None} for low, high in ends]
    groups[0] |= {"nme": 0.04, "interval": (0.03, 0.06)}
    alone = [{"from": None, "to": None, "faces": 9, "nme": 0.02, "interval": None}]
    report = {"nme": 0.03, "normaliser": "box", "scheme_normaliser": "inter-ocular", "nme_by_region": {"jaw": 0.01}}
    report |= {"nme_by_region_95_intervals": {"jaw": (0.005, 0.02)}}
    figure = errors.plot_groups(report | {"nme_by_look": {"size": alone, "yaw": groups, "roll": groups * 2}})
    shown = [[label.get_text() for label in axes.get_xticklabels()] for axes in figure.axes]
    assert shown[:3] == [["jaw"], ["all\n(9)"], ["< −7\n(9)", "−7 to 7\n(9)", "≥ 7\n(9)"]]
    assert shown[3][1] == "−7 to\n7\n(9)"  # many have less room
    lines = [list(line.get_ydata()) for line in figure.axes[2].lines]
    assert lines == [[3, 3], [pytest.approx(3), pytest.approx(6)], [4, 2, 2]]
    assert all(axes.get_ylim() == (0, pytest.approx(6.3)) for axes in figure.axes)
    assert figure.axes[0].get_ylabel() == "NME (box), %" and legend(figure) == ["all faces", "mean and 95% interval"]


def a_split(name, people, **others):
    rng = np.random.default_rng(0)
    split = {"name": name, "people": people, "eyes": rng.uniform(20, 60, 50), "poses": rng.normal(0, 10, (50, 3))}
    split |= {"sides": np.full(50, 100), "brightness": rng.uniform(50, 90, 50)}
    return split | {"outside": np.zeros(68), "shift": np.zeros((68, 2))} | others


def test_the_audit_shows_shares_people_points_outside_and_the_label_shift():
    outside = np.zeros(68)
    outside[3] = 0.2
    shift = np.tile([0.02, 0.01], (68, 1))
    splits = [a_split("training", {"a", "b", "c"}, outside=outside, shift=shift), a_split("test", {"c", "d"})]
    figure = data.plot_audit(splits, "a set")
    by_title = {axes.get_title(): axes for axes in figure.axes}
    eyes = by_title["Size of the faces"]
    median = f"{np.median(splits[0]['eyes']):.0f}"
    assert eyes.get_xlabel().endswith(f"medians (dotted): {median}, {median}")
    outline = eyes.patches[1].get_xy()  # of the first split's histogram: each bar's height twice
    assert outline[1:-1:2, 1].sum() == pytest.approx(100)
    assert [bar.get_height() for bar in by_title["People"].patches] == [3, 2, 1]
    dots = by_title["Points outside of the image"].collections[0].get_array()
    assert dots[3] == pytest.approx(10) and dots.sum() == pytest.approx(10)  # 20% of one half of the faces
    (arrows,) = [one for one in by_title["Label shift"].collections if isinstance(one, Quiver)]
    assert arrows.U[0] < 0 and arrows.U[0] == pytest.approx(2 * arrows.V[0])
    assert "+2.0% to the right, +1.0% down" in by_title["Label shift"].texts[0].get_text()
    assert legend(figure) == ["training", "test"] and figure.get_suptitle() == "a set"


def test_the_audit_of_a_set_without_labels_or_faults_draws():
    bare = a_split("training", {"a"}, eyes=np.empty(0), poses=np.empty((0, 3)), outside=None, shift=None)
    figure = data.plot_audit([bare], "bare")
    titles = [axes.get_title() for axes in figure.axes]
    assert "No point lies outside" in titles and "No label shift is known" in titles
    assert style.as_picture(figure).std() > 0


def test_a_figure_is_written_whole_or_refused(tmp_path):
    figure = errors.plot_ced({"a": np.array([0.03])})
    style.save_figure(figure, tmp_path / "new" / "ced.svg")
    assert "</svg>" in (tmp_path / "new" / "ced.svg").read_text()
    with pytest.raises(InputError, match=r"ced\.xyz.*\.png"):
        style.save_figure(figure, tmp_path / "ced.xyz")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_curves_of_many_with_long_names_stay_inside_the_figure():
    names = ["a/very/long/path/of/a/network/that/somebody/else/trained/some/time/ago/best.pt", *map(str, range(9))]
    figure = errors.plot_ced(dict.fromkeys(names, np.array([0.02, 0.2])), threshold=0.1, norm="box")
    (axes,) = figure.axes
    first, *others = legend(figure)
    assert first.startswith("…") and "ago/best.pt:\nNME 11.00%, AUC@10% 0.400" in first and len(others) == 9
    assert axes.get_xlabel() == "NME (box), %"
    figure.canvas.draw()
    width = figure.get_figwidth() * figure.dpi
    # The layout of earlier versions doesn't see upright lines: there the bars of many stick out.
    slack = 0 if tuple(map(int, matplotlib.__version__.split(".")[:2])) >= (3, 11) else 20
    for drawn in (*axes.lines, *figure.legends):
        assert drawn.get_window_extent().x1 <= width + slack
    styles = {(line.get_color(), line.get_linestyle()) for line in axes.lines[::2]}
    assert len(styles) == 10


# --- Sheets of faces ---


def test_a_sheet_of_errors_says_what_it_shows_and_names_each_face_whole(written):
    data = open_split(SAMPLE, "test")
    predicted = data.keypoints + np.float32([3, 0])
    sheet = errors.error_sheet(data, [5, 0], predicted, data.keypoints, "Two faces")
    *title, first, second = [text for _, text, *_ in written]
    title = " ".join(title)
    assert title.startswith("Two faces") and "NME (inter-ocular)" in title and "truth" in title
    eyes = np.linalg.norm(data.keypoints[:, 36] - data.keypoints[:, 45], axis=1)
    assert [first, second] == [f"{3 / eyes[i]:.1%}  {Path(data.names[i]).stem}" for i in (5, 0)]
    for color in (*draw.COLORS.values(), draw.WHITE):
        assert (sheet == color).all(axis=2).any()


def test_a_sheet_of_mosaics_shows_what_was_found_and_what_is_there(written):
    there = Detections(
        np.array([[40.0, 50.0], [100.0, 90.0]]), np.array([30.0, 20.0]), np.array([0.0, 90.0]), np.ones(2)
    )
    pictures = [np.zeros((192, 192, 3), np.uint8)] * 2
    sheet = errors.detection_sheet(pictures, [there.of([0]), EMPTY], [EMPTY, there], "Mosaics")
    assert " ".join(text for _, text, *_ in written).startswith("Mosaics: what was found in colour")
    assert [text for _, text, *_ in written][-2:] == ["1 found, 0 there", "0 found, 2 there"]
    left, right = np.array_split(sheet, 2, axis=1)
    assert (left == draw.VERMILION).all(axis=2).any() and not (right == draw.VERMILION).all(axis=2).any()


def test_faces_are_ranked_and_the_worst_come_first():
    nme = np.random.default_rng(0).permutation(np.arange(100) / 1000)
    best, median, worst = errors.rank_faces(nme).values()
    assert nme[best].tolist() == [0, 0.001, 0.002, 0.003]
    assert sorted(nme[median]) == [0.048, 0.049, 0.05, 0.051]
    assert nme[worst].tolist() == [i / 1000 for i in range(99, 87, -1)]
    for count in range(1, 40):
        rows = np.concatenate(list(errors.rank_faces(nme[:count]).values()))
        assert len(rows) == len(set(rows)) >= min(count, 12), "no face twice"


def test_the_sheet_of_ranks_shows_each_kind_under_its_heading_and_missed_faces_as_the_worst(written):
    data = open_split(SAMPLE, "test").subset(range(6), None)
    predicted = data.keypoints + np.arange(6, dtype=np.float32)[:, None, None]
    predicted[3] = np.nan
    errors.ranked_sheet(data, predicted, data.keypoints)
    texts = [text for _, text, *_ in written]
    assert texts[0].startswith("The best of 6 faces: NME (inter-ocular)")
    *best, second = texts[: texts.index("In the middle")]
    assert Path(data.names[0]).stem in best[-1] and Path(data.names[1]).stem in second
    missed, worst = texts[texts.index("The worst, worst first") + 1 :]
    assert missed == f"missed  {Path(data.names[3]).stem}" and worst.endswith(Path(data.names[5]).stem)


def test_a_learning_strip_has_a_row_an_epoch_with_its_error(written):
    red, blue = (np.full((8, 8, 3), color, np.uint8) for color in ((255, 0, 0), (0, 0, 255)))
    sheet = learning_strip([0, 5], [0.6617, 0.0984], [[red] * 3, [blue] * 3], "NME (inter-ocular)", "legend")
    texts = [text for _, text, *_ in written]
    assert texts[-4:] == ["before", "NME 66.2%", "epoch 5", "NME 9.8%"]
    assert "NME (inter-ocular)" in " ".join(texts[:-4]) and " ".join(texts[:-4]).endswith("legend")
    (upper, _), (lower, _) = (
        np.argwhere((sheet == color).all(axis=2)).mean(axis=0) for color in (red[0, 0], blue[0, 0])
    )
    middles = {text: (y0 + y1) / 2 for text, (_, y0, _, y1) in ink_boxes(written)}
    for middle, of_row in ((upper, texts[-4:-2]), (lower, texts[-2:])):
        assert np.mean([middles[text] for text in of_row]) == pytest.approx(middle, abs=6)
    assert (sheet == red[0, 0]).all(axis=2).sum() == (sheet == blue[0, 0]).all(axis=2).sum() == 3 * 240**2


# --- Trainings ---


def test_training_curves_mark_the_best_epoch():
    history = {
        "epoch": [1, 2, 3, 4],
        "train_loss": [1.0, 0.1, 0.01, 0.001],
        "val_loss": [2.0, 0.2, 0.1, 0.3],
        "val_nme": [0.5, float("nan"), 0.0412, 0.06],
    }
    left, right = plot_training_curves(history, "val_nme", "NME (inter-ocular)").axes
    assert left.get_yscale() == "log"
    assert [list(line.get_ydata()) for line in left.lines] == [history["train_loss"], history["val_loss"]]
    curve, best = right.lines
    assert curve.get_ydata()[3] == pytest.approx(6)
    assert (best.get_xdata()[0], best.get_ydata()[0]) == (3, pytest.approx(4.12))
    assert right.get_legend().get_texts()[0].get_text() == "best: 4.12% in epoch 3"


def test_training_curves_begin_before_training_which_is_never_the_best_epoch():
    history = {
        "epoch": [0, 1, 2, 3],
        "train_loss": [float("nan"), 0.9, 0.5, 0.4],
        "val_loss": [1.0, 0.6, 0.4, 0.5],
        "val_nme": [0.6, 0.2, 0.05, 0.07],
    }
    left, right = plot_training_curves(history, "val_nme", "NME (inter-ocular)").axes
    curve, untrained, best = right.lines
    np.testing.assert_allclose(curve.get_xydata(), [(0, 60), (1, 20), (2, 5), (3, 7)])
    np.testing.assert_allclose(untrained.get_xydata(), [(0, 60)])
    np.testing.assert_allclose(best.get_xydata(), [(2, 5)])
    texts = [text.get_text() for text in right.get_legend().get_texts()]
    assert texts == ["before: 60.00%", "best: 5.00% in epoch 2"]
    assert right.get_yscale() == "log" and left.lines[1].get_xdata()[0] == 0
    history["val_nme"] = [0.06, 0.07, 0.065, 0.08]
    right = plot_training_curves(history, "val_nme", "NME (inter-ocular)").axes[1]
    assert right.get_yscale() == "linear"
    np.testing.assert_allclose(right.lines[2].get_xydata(), [(2, 6.5)])
    history["val_nme"] = [1.0, 0.5, 0.0, 0.1]
    assert plot_training_curves(history, "val_nme", "1 - AP").axes[1].get_yscale() == "linear", "0 has no log"


def test_histories_have_a_colour_a_run_and_say_which_is_which():
    long = {
        "epoch": [0, 1, 2],
        "train_loss": [float("nan"), 0.9, 0.5],
        "val_loss": [1.0, 0.6, 0.4],
        "val_nme": [0.6, 0.05, 0.08],
        "seconds": [6.0, 60.0, 54.0],
    }
    short = {name: values[:2] for name, values in long.items()}
    left, right = plot_histories({"wing": long, "mse": short}, "val_nme", "NME (inter-ocular)").axes
    curves = {line.get_label(): line for line in right.lines if len(line.get_xdata()) > 1}
    assert list(curves) == ["wing: best 5.00% in epoch 1, 2.0 min", "mse: best 5.00% in epoch 1, 1.1 min"]
    for line, history in zip(curves.values(), (long, short), strict=True):
        np.testing.assert_allclose(
            line.get_xydata(), np.transpose([history["epoch"], np.multiply(history["val_nme"], 100)])
        )
        same = [other for other in left.lines if other.get_color() == line.get_color()]
        losses = [history["train_loss"], history["val_loss"]]
        np.testing.assert_allclose([other.get_ydata() for other in same], losses)
        assert [list(other.get_xdata()) for other in same] == [history["epoch"]] * 2
    assert len({line.get_color() for line in curves.values()}) == 2
    dots = [line.get_xydata().tolist() for line in right.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(dots, [[[1, 5]], [[1, 5]]])
    assert right.get_xlabel() == "epoch" and right.get_ylabel() == "NME (inter-ocular), % (log)"
    told = [text.get_text() for text in left.get_legend().get_texts()]
    assert told == ["training: changed faces, all parts", "validation: faces as they are, points alone"]
    assert [text.get_text() for text in right.figure.legends[0].get_texts()] == list(curves)


def test_short_trainings_say_how_short_and_logarithmic_axes_that_they_are():
    history = {name: [1.0, 0.9] for name in ("epoch", "train_loss", "val_loss", "val_1_minus_ap")} | {"seconds": [1, 2]}
    left, right = plot_histories({"quick": history}, "val_1_minus_ap", "1 - AP").axes
    assert right.lines[1].get_label().endswith(", 3.0 s")
    assert left.get_ylabel() == "loss (log)" and right.get_ylabel() == "1 - AP, %"
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["training", "validation"]


@pytest.mark.parametrize("epochs", [1, 2, 4, 1000])
def test_epochs_are_whole_numbers_and_losses_plain_ones(epochs):
    history = {name: np.linspace(0.9, 0.11, epochs).tolist() for name in ("train_loss", "val_loss", "val_nme")}
    figure = plot_training_curves(history | {"epoch": list(range(1, epochs + 1))}, "val_nme", "NME (inter-ocular)")
    figure.canvas.draw()
    for axes in figure.axes:
        (low, high), ticks = axes.get_xlim(), axes.get_xticks()
        assert ((low <= ticks) & (ticks <= high)).any()
        assert (ticks == np.round(ticks)).all()
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len([float(label) for label in labels]) > 1


@pytest.mark.parametrize("epochs", [0, 1])
def test_training_curves_of_a_run_that_just_began(epochs):
    history = {name: [1.0] * epochs for name in ("epoch", "train_loss", "val_loss", "val_nme")}
    assert style.as_picture(plot_training_curves(history, "val_nme", "NME (inter-ocular)")).std() > 0
