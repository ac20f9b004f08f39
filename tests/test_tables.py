"""The table of several sets of points holds their figures, whatever their names hold."""

import csv

import numpy as np
import pytest
from conftest import SAMPLE

from data_load import open_split
from evaluation import metrics, tables
from face68.draw import schematic_face

EVIL = "a|b_50%&*"


@pytest.fixture(scope="module")
def compared():
    """Reports on three, the second of which is off by 1% more than the first, and the third by what the second is."""
    truth = 50 + 40 * np.tile(schematic_face(), (20, 1, 1))
    truth[..., 0] *= 100 / metrics.unit_length(truth)[:, None]
    people = [str(i) for i in range(20)]
    offsets = {"ours": np.linspace(3, 5, 20), EVIL: np.linspace(4, 6, 20), "third": np.linspace(6, 4, 20)}
    reports = {}
    for name, off in offsets.items():
        summary = metrics.summary(truth + [0, 1] * off[:, None, None], truth, people)
        reports[name] = summary | {"boxes": "truth", "data": "a set, test", "labels": "as published"}
    errors = {name: off / 100 for name, off in offsets.items()}
    return reports, metrics.differences(errors, people)


def test_the_table_has_a_row_each_and_marks_what_is_more_than_noise(compared):
    first, second, third = tables.rows(*compared)
    assert first[""] == "ours" and first["NME (inter-ocular)"] == "4.00%" and first["NME − ours"] == ""
    assert second["NME (inter-ocular)"] == "5.00%" and second["NME − ours"] == "+1.000 (+1.000 to +1.000) *"
    assert third["FR@8%"] == "0.0%" and third["AUC@8%"] == "0.375" and third["AUC@10%"] == "0.500"
    text = tables.comparison_text(*compared)
    assert "divided by the distance of the outer eye corners" in text and "labels: as published" in text
    (last,) = [line for line in text.splitlines() if line.startswith(f"{EVIL} − third")]
    assert "+0.000 (" in last and last.endswith("may be noise")


def test_markdown_and_latex_show_names_as_they_are(compared, tmp_path):
    tables.write_markdown(tmp_path / "t.md", *compared)
    tables.write_latex(tmp_path / "t.tex", *compared)
    markdown, latex = ((tmp_path / name).read_text() for name in ("t.md", "t.tex"))
    table = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(table) == 5 and {line.replace(r"\|", "").count("|") for line in table} == {12}
    assert r"| a\|b_50%&\* |" in markdown and r"a|b\_50\%\&*" in latex
    rows = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 4 and {line.replace(r"\&", "").count("&") for line in rows} == {10}
    for text in (markdown, latex.replace("\\", "")):
        assert "NME (inter-ocular)" in text and "30% (inter-ocular)" in text and "a set, test" in text


def test_csv_has_fractions_and_intervals(compared, tmp_path):
    tables.write_csv(tmp_path / "t.csv", *compared)
    with (tmp_path / "t.csv").open(newline="") as file:
        first, second, _ = csv.DictReader(file)
    assert second["name"] == EVIL and second["normaliser"] == "inter-ocular" and second["labels"] == "as published"
    assert float(second["nme"]) == pytest.approx(0.05) and first["difference"] == ""
    assert [float(second[c]) for c in ("difference", "difference_low", "difference_high")] == pytest.approx([0.01] * 3)
    assert float(second["nme_low"]) < 0.05 < float(second["nme_high"])


def test_tables_are_known_again(compared, tmp_path):
    for write in (tables.write_markdown, tables.write_latex, tables.write_csv):
        write(tmp_path / "table", *compared)
        assert tables.is_table(tmp_path / "table")
    (tmp_path / "table").write_text("| name | nme |\n")
    assert not tables.is_table(tmp_path / "table")


def test_one_alone_has_no_difference(compared):
    reports, _ = compared
    (row,) = tables.rows({"ours": reports["ours"]}, [])
    assert not any("−" in heading for heading in row)


def test_each_figure_that_is_printed_says_its_normaliser():
    truth = open_split(SAMPLE, "test").keypoints[:6]
    predicted = truth + np.float32([0, 1])
    predicted[2] = np.nan
    summary = metrics.summary(predicted, truth, list("aabbcc"), "diagonal", [0.05])
    lines = dict(line.split("  ", 1) for line in tables.report_text(summary | {"labels": "as published"}).splitlines())
    assert lines.pop("faces").strip() == "6 of 3 people, 1 missed" and lines.pop("labels").strip() == "as published"
    assert all("(diagonal)" in name for name in lines)
    assert lines["FR@5% (diagonal)"].strip() == "16.67%"
    assert lines["NME (diagonal)"].strip().startswith(f"{summary['nme']:.2%}")
    assert {"NME (diagonal), jaw", "AUC@5% (diagonal)"} <= set(lines)
