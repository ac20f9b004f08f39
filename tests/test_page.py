"""The page of an evaluation holds its figures and pictures, needs nothing else, and takes no orders from file names."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import metrics
import page
import plots
from face68.draw import schematic_face

EVIL = '<script>alert("1")</script>&\u202e.jpg'


class Elements(HTMLParser):
    """All elements with their attributes, and the text outside of styles."""

    def __init__(self, text: str):
        super().__init__()
        self.found, self.words, self.within = [], "", ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        self.within = tag

    def handle_data(self, data):
        if self.within != "style":
            self.words += data


@pytest.fixture(scope="module")
def report():
    rng = np.random.default_rng(0)
    truth = 50 + 40 * np.tile(schematic_face(), (30, 1, 1)) + rng.normal(0, 1, (30, 68, 2))
    predicted = truth + rng.normal(0, 2, (30, 68, 2))
    summary = metrics.summary(predicted, truth, [str(i) for i in range(30)])
    calibration = np.tile(np.linspace(0.01, 0.1, 10)[:, None], 2).tolist()
    scores = {"recall": 0.97, "precision": 0.9}
    return summary | {
        "missed": 1,
        "labels": "as published",
        "expected_and_measured_errors": calibration,
        "face_scores": scores,
    }


@pytest.fixture(scope="module")
def written(report, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    face = page.face_figure(np.zeros((8, 9, 3), np.uint8), 0.0345, EVIL)
    curves = {EVIL: np.array([0.03, 0.05])}
    page.write_page(path, EVIL, report, curves, {"The best": [face] * 2}, {"command": f"python evaluate.py {EVIL}"})
    return path


def test_the_page_needs_no_other_file(written):
    elements = Elements(written.read_text()).found
    tags = {tag for tag, _ in elements}
    assert {"svg", "img", "table", "h1", "title"} <= tags
    assert not tags & {"script", "link", "iframe", "object", "embed", "base"}
    for _, attributes in elements:
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            value = attributes.get(name, "#")
            assert value.startswith(("#", "data:")), value
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"@import|url\((?!#)", written.read_text())


def test_names_are_shown_as_they_are_and_do_nothing(written):
    text = written.read_text()
    assert "<script" not in text and "\u202e" not in text
    words = Elements(text).words
    assert words.count("<script>alert(") >= 4  # title, heading, below each face, command


def test_each_figure_has_its_normaliser_and_interval(written, report):
    words = Elements(written.read_text()).words
    low, high = report["nme_95_interval_over_people"]
    assert f"{report['nme']:.2%}" in words and f"{low:.2%} to {high:.2%}" in words
    table = written.read_text().partition("<table>")[2].partition("</table>")[0]
    first, *parts = table.split("<tbody>")[1:]
    rows = re.findall(r'<th scope="row">(.+?)</th><td>(.+?)</td><td>(.*?)</td>', table)
    assert len(rows) == 6 + 5 + sum(len(groups) for groups in report["nme_by_look"].values())
    assert first.count("inter-ocular") == 6 and len(parts) == 4
    assert all(re.search(r'rowgroup">NME \(inter-ocular\) by', part) for part in parts)
    assert all(interval for name, _, interval in rows if not name.endswith("(1)"))
    assert "1 missed" in words and "97.00%" in words


def test_names_within_a_plot_are_its_own(written):
    ids = [attributes["id"] for _, attributes in Elements(written.read_text()).found if "id" in attributes]
    assert len(ids) > 100
    axes = [name for name in ids if name.endswith("axes_1")]
    assert len(axes) == len(set(axes)) == 7
    used = re.findall(r'(?:url\(|href=")#([^")]+)', written.read_text())
    assert used and set(used) <= set(ids)


def test_plots_take_the_colours_of_the_page():
    drawn = page.svg(plots.plot_ced({"a": np.array([0.03])}))
    assert "var(--blue)" in drawn and "var(--grid)" in drawn
    assert "#000000" not in drawn and "#ffffff" not in drawn and plots.to_hex(plots.BLUE) not in drawn


def test_a_page_is_known_again(written, tmp_path):
    assert page.is_page(written)
    (tmp_path / "mine.html").write_text('<!doctype html>\n<html lang="en">\n<title>mine</title>')
    assert not page.is_page(tmp_path / "mine.html")


def test_a_network_that_does_not_judge_itself_has_a_page_without_that(report, tmp_path):
    plain = {
        name: value for name, value in report.items() if name not in ("expected_and_measured_errors", "face_scores")
    }
    page.write_page(tmp_path / "report.html", "net", plain, {"net": np.array([0.03])}, {}, {})
    words = Elements((tmp_path / "report.html").read_text()).words
    assert "Which points and faces are hard" in words and "how sure" not in words
