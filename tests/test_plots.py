"""Plots show the numbers they got."""

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.quiver import Quiver

from face68.draw import schematic_face
from face68.files import InputError
from plots import data, style
from plots import errors as plots_errors


def legend(figure) -> list[str]:
    return [text.get_text() for box in figure.legends for text in box.get_texts()]


def test_ced_says_nme_auc_and_fr_and_draws_them():
    figure = plots_errors.plot_ced({"ours": np.array([0.02, 0.04, 0.06, 0.1]), "$theirs": np.array([0.01, 0.2])})
    (axes,) = figure.axes
    assert legend(figure) == [
        "ours: NME 5.50%, AUC@8% 0.375, FR@8% 25.0%",
        r"\$theirs: NME 10.50%, AUC@8% 0.438, FR@8% 50.0%",
    ]
    curve, gap, other, _ = axes.lines
    assert np.interp([1, 5, 8], *curve.get_data()) == pytest.approx([0, 50, 75])
    assert list(gap.get_ydata()) == [75, 100] and gap.get_color() == curve.get_color() != other.get_color()
    (shaded,) = axes.collections
    x, y = shaded.get_paths()[0].vertices.T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert area / (8 * 100) == pytest.approx(0.375, abs=0.002)


def test_names_that_matplotlib_would_hide_or_typeset_are_shown():
    figure = plots_errors.plot_ced({"_a$x$": np.array([0.02])})
    assert legend(figure)[0].startswith(r" _a\$x\$: NME")
    figure.canvas.draw()


def test_points_are_coloured_by_their_errors_and_the_worst_of_each_region_is_named():
    errors = np.full(68, 0.02)
    errors[[8, 20, 30, 45, 60]] = [0.09, 0.05, 0.04, 0.03, 0.06]
    figure = plots_errors.plot_points(errors)
    axes, bar = figure.axes
    (dots,) = [one for one in axes.collections if isinstance(one, PathCollection)]
    np.testing.assert_allclose(dots.get_array(), 100 * errors)
    np.testing.assert_allclose(dots.get_offsets(), schematic_face())
    named = {text.get_text(): text.xy for text in axes.texts}
    assert set(named) == {"8: 9.0%", "20: 5.0%", "30: 4.0%", "45: 3.0%", "60: 6.0%"}
    np.testing.assert_allclose(named["45: 3.0%"], schematic_face()[45])
    assert "inter-ocular" in bar.get_xlabel()


def test_groups_have_their_means_intervals_and_the_mean_of_all():
    groups = [
        {"label": "< 30", "nme": 0.04, "interval": (0.03, 0.06)},
        {"label": "≥ 30", "nme": 0.02, "interval": None},
    ]
    panels = [{"title": name, "xlabel": "px", "groups": groups} for name in ("size", "yaw", "roll")]
    figure = plots_errors.plot_groups(panels, mean=0.03, highest=0.06)
    shown = figure.axes[:3]
    assert [axes.get_title() for axes in shown] == ["size", "yaw", "roll"]
    for axes in shown:
        lines = [line.get_ydata() for line in axes.lines]
        assert [list(line) for line in lines] == [[3, 3], [pytest.approx(3), pytest.approx(6)], [4, 2]]
        assert [label.get_text() for label in axes.get_xticklabels()] == ["< 30", "≥ 30"]
        assert axes.get_ylim()[0] == 0 and axes.get_ylim()[1] > 6
    assert not figure.axes[3].axison
    assert legend(figure) == ["all faces", "mean and 95% interval"]


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
    figure = plots_errors.plot_ced({"a": np.array([0.03])})
    style.save_figure(figure, tmp_path / "new" / "ced.svg")
    assert "</svg>" in (tmp_path / "new" / "ced.svg").read_text()
    with pytest.raises(InputError, match=r"ced\.xyz.*\.png"):
        style.save_figure(figure, tmp_path / "ced.xyz")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_curves_of_many_with_long_names_stay_inside_the_figure():
    errors = np.array([0.02, 0.2])
    names = ["a/very/long/path/of/a/network/that/somebody/else/trained/some/time/ago/best.pt", *map(str, range(9))]
    figure = plots_errors.plot_ced(dict.fromkeys(names, errors), threshold=0.1, norm="box")
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
