"""Sheets that show predictions beside the truth."""

from pathlib import Path

import numpy as np
import pytest
from conftest import SAMPLE, ink_boxes

from data_load import open_split
from evaluation import metrics, report
from face68 import draw
from face68.detect import EMPTY, Detections
from plots import curves
from plots import errors as plots_errors


def test_a_sheet_of_errors_says_what_it_shows_and_names_each_face_whole(written):
    data = open_split(SAMPLE, "test")
    predicted = data.keypoints + np.float32([3, 0])
    sheet = plots_errors.error_sheet(data, [5, 0], predicted, data.keypoints, "Two faces")
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
    sheet = plots_errors.detection_sheet(pictures, [there.of([0]), EMPTY], [EMPTY, there], "Mosaics")
    assert " ".join(text for _, text, *_ in written).startswith("Mosaics: what was found in colour")
    assert [text for _, text, *_ in written][-2:] == ["1 found, 0 there", "0 found, 2 there"]
    left, right = np.array_split(sheet, 2, axis=1)
    assert (left == draw.VERMILION).all(axis=2).any() and not (right == draw.VERMILION).all(axis=2).any()


def test_faces_are_ranked_and_the_worst_come_first():
    errors = np.random.default_rng(0).permutation(np.arange(100) / 1000)
    best, median, worst = report.ranked(errors).values()
    assert errors[best].tolist() == [0, 0.001, 0.002, 0.003]
    assert sorted(errors[median]) == [0.048, 0.049, 0.05, 0.051]
    assert errors[worst].tolist() == [i / 1000 for i in range(99, 87, -1)]
    for count in range(1, 40):
        rows = np.concatenate(list(report.ranked(errors[:count]).values()))
        assert len(rows) == len(set(rows)) >= min(count, 12), "no face twice"


def test_the_sheet_of_ranks_shows_each_kind_under_its_heading(written):
    data = open_split(SAMPLE, "test").subset(range(6), None)
    predicted = data.keypoints + np.arange(6, dtype=np.float32)[:, None, None]
    sheet = plots_errors.ranked_sheet(data, predicted, data.keypoints)
    texts = [text for _, text, *_ in written]
    assert texts[0].startswith("The best of 6 faces: NME (inter-ocular)")
    *best, second = texts[: texts.index("In the middle")]
    assert Path(data.names[0]).stem in best[-1] and Path(data.names[1]).stem in second and sheet.shape[2] == 3
    worst_first = [float(text.split("%")[0]) for text in texts[texts.index("The worst, worst first") + 1 :]]
    assert worst_first == sorted(worst_first, reverse=True) and len(worst_first) == 2


def test_ranges_are_named():
    ends = [(None, -7), (-7, 7), (7, None), (None, None)]
    labels = [plots_errors.range_label({"from": low, "to": high}) for low, high in ends]
    assert labels == ["< −7", "−7 to 7", "≥ 7", "all"]


def test_a_learning_strip_has_a_row_an_epoch_with_its_error(written):
    red, blue = (np.full((8, 8, 3), color, np.uint8) for color in ((255, 0, 0), (0, 0, 255)))
    sheet = curves.learning_strip([0, 5], [0.6617, 0.0984], [[red] * 3, [blue] * 3], "NME (inter-ocular)", "legend")
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


def test_each_figure_that_is_printed_says_its_normaliser():
    truth = open_split(SAMPLE, "test").keypoints[:6]
    predicted = truth + np.float32([0, 1])
    predicted[2] = np.nan
    summary = metrics.summary(predicted, truth, list("aabbcc"), "diagonal", [0.05])
    lines = dict(line.split("  ", 1) for line in report.as_text(summary | {"labels": "as published"}).splitlines())
    assert lines.pop("faces").strip() == "6 of 3 people, 1 missed" and lines.pop("labels").strip() == "as published"
    assert all("(diagonal)" in name for name in lines)
    assert lines["FR@5% (diagonal)"].strip() == "16.67%"
    assert lines["NME (diagonal)"].strip().startswith(f"{summary['nme']:.2%}")
    assert {"NME (diagonal), jaw", "AUC@5% (diagonal)"} <= set(lines)


def test_a_missed_face_is_shown_as_missed_and_as_the_worst(written):
    data = open_split(SAMPLE, "test").subset(range(5), None)
    predicted = data.keypoints + np.float32([0, 1])
    predicted[3] = np.nan
    plots_errors.ranked_sheet(data, predicted, data.keypoints)
    texts = [text for _, text, *_ in written]
    worst = texts[texts.index(report.WORST) + 1]
    assert worst == f"missed  {Path(data.names[3]).stem}"
