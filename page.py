"""An evaluation as one HTML page: its figures, plots and faces in one file that needs no other and no network.

Plots are SVG in the page's own colours, so they follow it into the dark; faces are JPEG, as data of the page.
"""

import base64
import html
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

import metrics
import plots
from face68.files import atomic_path, printable
from report import error_label, group_panels, highest_error, range_label

HEAD = (
    '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<meta name="generator" content="face68 evaluate.py">\n'
)

# What matplotlib draws in: names of the page's own colours. Text that is black has no colour in the SVG.
_COLORS = {
    "#000000": "currentColor",
    plots.to_hex(plots.INK): "currentColor",
    plots.GRID: "var(--grid)",
    plots.GRAY: "var(--line)",
    plots.to_hex(plots.BLUE): "var(--blue)",
    plots.to_hex(plots.VERMILION): "var(--vermilion)",
}

_STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fdfdfb; --card: #ffffff; --ink: #22262a; --soft: #5c646c;
  --grid: #e5e5e5; --line: #bfbfbf; --blue: #0072b2; --vermilion: #d55e00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --card: #1c2024; --ink: #e6e8ea; --soft: #a0a8b0;
    --grid: #2c3238; --line: #59626b; --blue: #56b4e9; --vermilion: #f08a3c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: clamp(1rem, 4vw, 3rem); max-width: 68rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
}
h1 { font-size: clamp(1.5rem, 5vw, 2.2rem); line-height: 1.2; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 3rem 0 .8rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .6rem; }
p { max-width: 42rem; margin: .3rem 0 1rem; }
.soft, figcaption { color: var(--soft); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem; }
.cards { margin: 1.6rem 0 1rem; }
.cards > div, .plots figure { background: var(--card); border: 1px solid var(--grid); border-radius: .6rem; }
.cards > div { padding: .8rem 1rem; display: flex; flex-direction: column; }
.cards dt, .cards dd { color: var(--soft); font-size: .85rem; line-height: 1.35; }
.cards dt { flex: 1; }
.cards dd { margin: 0; }
.cards dt + dd { font-size: 1.6rem; font-weight: 600; color: var(--ink); }
figure { margin: 0; min-width: 0; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1rem; }
.plots figure { padding: .8rem; }
.plots svg { display: block; width: 100%; height: auto; max-width: 34rem; margin: auto; fill: currentColor; }
.faces { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: .8rem; }
.faces img { display: block; width: 100%; height: auto; border-radius: .4rem; }
figcaption { font-size: .85rem; line-height: 1.35; padding-top: .3rem; overflow-wrap: anywhere; }
figcaption b { color: var(--ink); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .95rem; }
th, td { text-align: right; padding: .3rem 1.2rem .3rem 0; border-bottom: 1px solid var(--grid); }
td { white-space: nowrap; }
th { font-weight: 400; }
th:first-child { text-align: left; }
thead th { color: var(--soft); font-size: .85rem; }
.part th { font-weight: 600; padding-top: 1.2rem; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.2rem; }
.facts dt { color: var(--soft); }
.facts dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
code { font: .9em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
@media (max-width: 40rem) {
  .faces { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .facts { grid-template-columns: 1fr; gap: 0; }
  .facts dd { margin-bottom: .7rem; }
  th, td { padding-right: .8rem; }
}
"""


def write_page(path: Path, title: str, report: dict, curves: dict, faces: dict, facts: dict[str, str]) -> None:
    """Write the page, whole or not at all.

    title: what was measured. report: of evaluate.py. curves: as `plots.plot_ced` takes them.
    faces: under a heading each, `face_figure`s. facts: how it was made, by name.

    Raises:
        InputError: the place can't be written to.
    """
    norm = report["normaliser"]
    sections = [
        _top(title, report),
        _section(
            "How good it is",
            "",
            _plots(
                plots.plot_ced(curves, report["thresholds"][0], norm), plots.plot_points(report["nme_by_point"], norm)
            ),
        ),
        _groups(report),
        *([_judgement(report)] if "expected_and_measured_errors" in report else []),
        _faces(faces, norm),
        _section("All figures", "", _table(report)),
        _section("How this was made", "", _facts(facts)),
    ]
    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    head = f"{HEAD}{viewport}<title>{text(title)}</title>\n<style>{_STYLE}</style>\n"
    with atomic_path(path) as temporary:
        temporary.write_text(head + "<body>\n" + "\n".join(sections) + "\n</body>\n</html>\n", encoding="utf-8")


def is_page(path: Path) -> bool:
    """Whether a file begins as what `write_page` writes."""
    with path.open("rb") as file:
        return file.read(len(HEAD)) == HEAD.encode()


def text(value: object) -> str:
    """A text for the page: whatever a file's name holds, it is shown and does nothing."""
    return html.escape(printable(str(value)))


# --- Parts ----------------------------------------------------------------------------------------------------

_DEFINITIONS = (
    "NME ({norm}) is the mean distance of a face’s 68 points from the labels, divided by {what}; a missed face counts "
    "as 30% (inter-ocular). FR@{end} is the share of faces with an NME above {end}, AUC@{end} the area under the curve "
    "of all NMEs up to {end}, 1 being perfect. Intervals are 95%, by bootstrap over people. Labels: {labels}."
)


def _figures(report: dict) -> list[tuple[str, str, str]]:
    """The names of the main figures, their values and intervals."""
    norm = report["normaliser"]
    rows = [
        (f"NME ({norm})", "nme", "nme_95_interval_over_people", ".2%"),
        (f"median NME ({norm})", "nme_median", "nme_median_95_interval", ".2%"),
    ]
    for threshold in report["thresholds"]:
        failure, area = metrics.at("failure_rate", threshold), metrics.at("auc", threshold)
        rows.append((f"FR@{100 * threshold:g}% ({norm})", failure, f"{failure}_95_interval", ".2%"))
        rows.append((f"AUC@{100 * threshold:g}% ({norm})", area, f"{area}_95_interval", ".3f"))
    return [(name, f"{report[value]:{form}}", _interval(report[ends], form)) for name, value, ends, form in rows]


def _interval(ends: Sequence[float] | None, form: str = ".2%") -> str:
    return "" if ends is None else "{:{form}} to {:{form}}".format(*ends, form=form)


def _top(title: str, report: dict) -> str:
    faces = ("faces", str(report["faces"]), f"of {report['people']} people, {report['missed']} missed")
    cards = "".join(
        f"<div><dt>{text(name)}</dt><dd>{value}</dd><dd>{ends}</dd></div>"
        for name, value, ends in (*_figures(report)[:4], faces)  # NME, median, FR and AUC at the first threshold
    )
    norm = report["normaliser"]
    end, what = f"{100 * report['thresholds'][0]:g}%", metrics.MEANINGS[norm]
    defined = _DEFINITIONS.format(norm=norm, what=what, end=end, labels=report["labels"])
    return f'<h1>{text(title)}</h1>\n<dl class="cards">{cards}</dl>\n<p class="soft">{text(defined)}</p>'


def _groups(report: dict) -> str:
    panels, mean, norm = group_panels(report), report["nme"], report["normaliser"]
    highest = highest_error(panels)
    shown = _plots(*(plots.plot_groups([panel], mean, highest, columns=1, norm=norm) for panel in panels.values()))
    about = "Size and pose are those of the labels. Where all faces are one person’s there is no interval."
    return _section("Which points and faces are hard", about, shown)


def _judgement(report: dict) -> str:
    scores = report["face_scores"]
    about = (
        "The network says of each point how far off it may be. Here all points are sorted by that and cut into ten "
        "equal parts: where measured and expected error agree, they lie on the line.</p><p>"
        f"Its face score accepts {scores['recall']:.2%} of the faces, with a precision of {scores['precision']:.2%} "
        "beside as many pieces of background."
    )
    plot = svg(plots.plot_calibration(report["expected_and_measured_errors"], report["normaliser"]))
    shown = f'<div class="plots"><figure>{plot}</figure><div><p>{about}</p></div></div>'
    return _section("Does it know how sure it is?", "", shown)


def _faces(faces: dict[str, list[str]], norm: str) -> str:
    rows = [f'<h3>{text(name)}</h3>\n<div class="faces">{"".join(shown)}</div>' for name, shown in faces.items()]
    about = f"Below each face its NME ({norm}). In colour what was predicted; white crosses are the labels."
    return _section("Faces", about, "\n".join(rows))


def _table(report: dict) -> str:
    regions, intervals, norm = report["nme_by_region"], report["nme_by_region_95_intervals"], report["normaliser"]
    parts = {"": _figures(report)}
    parts[f"NME ({norm}) by region"] = [
        (name, f"{error:.2%}", _interval(intervals[name])) for name, error in regions.items()
    ]
    for look, groups in report["nme_by_look"].items():
        unit = " px" if look == "size" else "°"
        parts[f"NME ({norm}) by {look} (number of faces)"] = [
            (f"{range_label(group)}{unit} ({group['faces']})", f"{group['nme']:.2%}", _interval(group["interval"]))
            for group in groups
        ]
    body = ""
    for heading, rows in parts.items():
        above = f'<tr class="part"><th colspan="3" scope="rowgroup">{text(heading)}</th></tr>' if heading else ""
        body += f"<tbody>{above}{''.join(_row(*row) for row in rows)}</tbody>"
    head = "<thead><tr><th></th><th>value</th><th>95% interval</th></tr></thead>"
    return f'<div class="wide"><table>{head}{body}</table></div>'


def _row(name: str, value: str, interval: str) -> str:
    return f'<tr><th scope="row">{text(name)}</th><td>{value}</td><td>{interval}</td></tr>'


def _facts(facts: dict[str, str]) -> str:
    rows = "".join(f"<dt>{text(name)}</dt><dd><code>{text(value)}</code></dd>" for name, value in facts.items())
    return f'<dl class="facts">{rows}</dl>'


def _section(heading: str, about: str, content: str) -> str:
    about = f'\n<p class="soft">{about}</p>' if about else ""
    return f"<section>\n<h2>{text(heading)}</h2>{about}\n{content}\n</section>"


# --- Pictures -------------------------------------------------------------------------------------------------


def _plots(*figures) -> str:
    return '<div class="plots">' + "".join(f"<figure>{svg(figure)}</figure>" for figure in figures) + "</div>"


def svg(figure) -> str:
    """A matplotlib figure as an element of the page, in the page's colours. Its titles are what a reader hears."""
    drawn = plots.as_svg(figure)
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn[drawn.index("<svg") :], flags=re.DOTALL)
    for color, name in _COLORS.items():
        drawn = drawn.replace(color, name)
    titles = ", ".join(axes.get_title() for axes in figure.axes if axes.get_title())
    prefix = f"{re.sub('[^a-z]+', '-', titles.lower())}-"  # names within a page are one figure's own
    drawn = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}", drawn)
    return drawn.replace("<svg", f'<svg role="img" aria-label="{text(titles)}"', 1)


def face_figure(tile: np.ndarray, error: float, name: str) -> str:
    """A picture (H, W, 3) uint8 RGB of a face with its error and its name as an element of the page.

    error: NaN where the face was missed.
    """
    buffer = io.BytesIO()
    Image.fromarray(tile).save(buffer, "JPEG", quality=88)
    data = base64.b64encode(buffer.getvalue()).decode()
    height, width = tile.shape[:2]
    picture = (
        f'<img src="data:image/jpeg;base64,{data}" width="{width}" height="{height}" alt="{text(name)}" loading="lazy">'
    )
    return f"<figure>{picture}<figcaption><b>{error_label(error, '.2%')}</b> {text(name)}</figcaption></figure>"
