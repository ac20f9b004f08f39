"""The page of an evaluation shows its tables and pictures, and takes no orders from file names."""

import re
from html.parser import HTMLParser

import pytest

from plots import page

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


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "report.html"
    tables = [[{"": EVIL, "NME": "3.45%"}, {"": "other", "NME": "4.56%"}], [{"region": EVIL, "jaw": "5.00%"}]]
    page.write_page(path, EVIL, tables, [f"of {EVIL}"], {"ced.png": "Curves"}, {EVIL: f"python evaluate.py {EVIL}"})
    return path


def test_the_page_shows_the_pictures_beside_it_and_the_tables(written):
    elements = Elements(written.read_text())
    assert [attributes for tag, attributes in elements.found if tag == "img"] == [{"src": "ced.png", "alt": "Curves"}]
    first, second = re.findall("<table>(.*?)</table>", written.read_text(), re.DOTALL)
    assert re.findall("<td>(.*?)</td>", first) == ["3.45%", "4.56%"] and re.findall("<td>(.*?)</td>", second)
    assert re.findall("<th>(.*?)</th>", first)[1] == "NME" and first.count("<tr>") == 3


def test_names_are_shown_as_they_are_and_do_nothing(written):
    elements = Elements(written.read_text())
    assert not {tag for tag, _ in elements.found} & {"script", "link", "iframe", "object", "embed", "base"}
    assert "\u202e" not in written.read_text()
    assert elements.words.count("<script>alert(") == 7  # title, heading, both tables, note, and the command's two


def test_a_page_is_known_again(written, tmp_path):
    assert page.is_page(written)
    (tmp_path / "mine.html").write_text('<!doctype html>\n<html lang="en">\n<title>mine</title>')
    assert not page.is_page(tmp_path / "mine.html")
