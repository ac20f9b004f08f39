"""The tables of an evaluation: text for the terminal, Markdown, LaTeX and CSV; and the reports of earlier ones.

Reports are those of evaluate.py, by name; the others are compared with the first. Pairs are `metrics.differences`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evaluation import metrics
from face68.files import InputError, atomic_path, printable
from face68.formats import csv_writer
from face68.landmarker import MIN_FACE_SCORE

MARKDOWN_HEAD, LATEX_HEAD = "<!-- face68 evaluate.py -->\n", "% face68 evaluate.py; needs \\usepackage{booktabs}\n"
CSV_COLUMNS = ("name", "boxes", "faces", "people", "missed", "normaliser", "labels", "nme", "nme_low", "nme_high")
STARRED = "*"  # behind a difference that is more than noise


def text_table(rows: Sequence[dict[str, str]]) -> str:
    """Rows of the same keys as lines of text: names, in the first column, to the left, all else to the right."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    first, *widths = (max(map(len, column)) for column in zip(*lines, strict=True))
    return "\n".join("  ".join([line[0].ljust(first), *map(str.rjust, line[1:], widths)]).rstrip() for line in lines)


def rows(reports: dict[str, dict], pairs: Sequence[dict]) -> list[dict[str, str]]:
    """A row of text a report, by heading: what it is, NME, median, FR and AUC, and its difference from the first."""
    (first, top), *_ = reports.items()
    norm, lines, from_first = top["normaliser"], [], _from_first(first, pairs)
    for name, report in reports.items():
        low, high = report["nme_95_interval_over_people"]
        row = {
            "": printable(name),
            "boxes": report["boxes"],
            "missed": str(report["missed"]),
            f"NME ({norm})": f"{report['nme']:.2%}",
            "95% interval": f"{100 * low:.2f} to {high:.2%}",
            "median": f"{report['nme_median']:.2%}",
        }
        for threshold in report["thresholds"]:
            row[f"FR@{100 * threshold:g}%"] = f"{report[metrics.at('failure_rate', threshold)]:.1%}"
            row[f"AUC@{100 * threshold:g}%"] = f"{report[metrics.at('auc', threshold)]:.3f}"
        if from_first:
            row[f"NME − {printable(first)}"] = _difference(from_first[name], -1) if name in from_first else ""
        lines.append(row)
    return lines


def _from_first(first: str, pairs: Sequence[dict]) -> dict[str, dict]:
    return {pair["minus"]: pair for pair in pairs if pair["of"] == first}


def region_rows(reports: dict[str, dict]) -> list[dict[str, str]]:
    """A row of text a report: the NME of each region of the face, by heading."""
    return [
        {f"NME ({report['normaliser']}) by region": printable(name)}
        | {region: f"{error:.2%}" for region, error in report["nme_by_region"].items()}
        for name, report in reports.items()
    ]


def notes(report: dict, several: bool) -> list[str]:
    """What a reader of figures has to know: what they are divided by and of which labels they are, a line each."""
    norm = report["normaliser"]
    lines = [
        f"NME, FR and AUC ({norm}): errors are divided by {report['normaliser_meaning']}; a missed face counts as "
        f"{metrics.MISSED:.0%} ({report['scheme_normaliser']}).",
        f"{report['faces']} faces of {report['people']} people ({report['data']}); labels: {report['labels']}.",
    ]
    if several:
        lines.append(f"{STARRED} more than noise: 0 is outside of the 95% interval by paired bootstrap over people.")
    return lines


def difference_lines(reports: dict[str, dict], pairs: Sequence[dict]) -> list[str]:
    """By how much the NMEs of any two but the first differ, with the interval, and whether it is noise."""
    others = [pair for pair in pairs if pair["of"] != next(iter(reports))]
    width = max((len(_named(pair)) for pair in others), default=0)
    verdicts = {True: "", False: "  may be noise"}
    lines = [f"{_named(pair):<{width}}  {_difference(pair)}{verdicts[pair['more_than_noise']]}" for pair in others]
    return ["among the others, NME in percentage points:", *lines] if lines else []


def _named(pair: dict) -> str:
    return printable(f"{pair['of']} − {pair['minus']}")


def _difference(pair: dict, sign: int = 1) -> str:
    """In percentage points with its interval, as "−0.124 (−0.203 to −0.051) *"."""
    values = [100 * sign * pair["difference"], *sorted(100 * sign * end for end in pair["interval"] or ())]
    mean, *ends = (f"{round(value, 3) + 0.0:+.3f}".replace("-", "−") for value in values)  # and no −0.000
    star = f" {STARRED}" if pair["more_than_noise"] else ""
    return mean + (f" ({ends[0]} to {ends[1]})" if ends else "") + star


# --- On the terminal ------------------------------------------------------------------------------------------


def report_text(report: dict) -> str:
    """The main figures of a report of evaluate.py, a line each, for the terminal."""
    (low, high), norm = report["nme_95_interval_over_people"], report["normaliser"]
    figures = {
        "faces": f"{report['faces']} of {report['people']} people, {report['missed']} missed",
        f"NME ({norm})": f"{report['nme']:.2%}  (95% interval {low:.2%} to {high:.2%})",
        f"median ({norm})": f"{report['nme_median']:.2%}",
    }
    for threshold in report["thresholds"]:
        failed, area = (report[metrics.at(figure, threshold)] for figure in ("failure_rate", "auc"))
        end = f"{100 * threshold:g}% ({norm})"
        figures |= {f"FR@{end}": f"{failed:.2%}", f"AUC@{end}": f"{area:.3f}"}
    figures |= {f"NME ({norm}), {region}": f"{error:.2%}" for region, error in report["nme_by_region"].items()}
    if "expected_and_measured_errors" in report:
        ratios = [measured / expected for expected, measured in report["expected_and_measured_errors"]]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f} in ten bins of points"
        recall, precision = (report["face_scores"][name] for name in ("recall", "precision"))
        figures |= {
            "expected errors": f"measured / expected: {spread}",
            "face score": f"at {MIN_FACE_SCORE}: recall {recall:.2%} of faces, precision {precision:.2%} beside as "
            "many pieces of background",
        }
    return "\n".join(f"{name:<26} {figure}" for name, figure in (figures | {"labels": report["labels"]}).items())


def comparison_text(reports: dict[str, dict], pairs: Sequence[dict]) -> str:
    """The table, what it means and how any two differ, for the terminal."""
    lines = [text_table(rows(reports, pairs)), *notes(next(iter(reports.values())), bool(pairs))]
    return "\n".join(lines + difference_lines(reports, pairs))


# --- Files ----------------------------------------------------------------------------------------------------


def write_markdown(path: Path, reports: dict[str, dict], pairs: Sequence[dict]) -> None:
    """Raises InputError: the file can't be written."""
    table = rows(reports, pairs)
    lines = [list(table[0]), ["---", *["---:"] * (len(table[0]) - 1)], *(list(row.values()) for row in table)]
    cells = [[cell.replace("|", "\\|").replace("*", "\\*") for cell in line] for line in lines]
    text = "".join(f"| {' | '.join(line)} |\n" for line in cells)
    below = "\n".join(line.replace("*", "\\*") + "  " for line in notes(next(iter(reports.values())), bool(pairs)))
    _write(path, f"{MARKDOWN_HEAD}\n{text}\n{below}\n")


def write_latex(path: Path, reports: dict[str, dict], pairs: Sequence[dict]) -> None:
    """A `table` with the lines of the package booktabs.

    Raises:
        InputError: the file can't be written.
    """
    table = rows(reports, pairs)
    columns = "l" + "r" * (len(table[0]) - 1)
    head, *body = (" & ".join(map(_latex, line)) + " \\\\" for line in (table[0], *(row.values() for row in table)))
    caption = _latex(" ".join(notes(next(iter(reports.values())), bool(pairs))))
    lines = [
        *("\\begin{table}", "\\centering", f"\\begin{{tabular}}{{{columns}}}", "\\toprule", head, "\\midrule"),
        *(*body, "\\bottomrule", "\\end{tabular}", f"\\caption{{{caption}}}", "\\end{table}"),
    ]
    _write(path, LATEX_HEAD + "\n".join(lines) + "\n")


_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$"}
_LATEX |= {character: f"\\{character}" for character in "%&#_${}"}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def write_csv(path: Path, reports: dict[str, dict], pairs: Sequence[dict]) -> None:
    """The same as fractions, with the ends of all intervals, a row a report.

    Raises:
        InputError: the file can't be written.
    """
    (first, top), *_ = reports.items()
    from_first = _from_first(first, pairs)
    figures = ["nme_median", *(metrics.at(f, t) for t in top["thresholds"] for f in ("failure_rate", "auc"))]
    behind = ["difference", "difference_low", "difference_high"]
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv_writer(file)
        writer.writerow([*CSV_COLUMNS, *figures, *behind])
        for name, report in reports.items():
            low, high = report["nme_95_interval_over_people"]
            known = report | {"name": printable(name), "nme_low": low, "nme_high": high}
            if pair := from_first.get(name):
                ends = sorted(-end for end in pair["interval"] or ()) or [None, None]
                known |= zip(behind, [-pair["difference"], *ends], strict=True)
            writer.writerow([known.get(column) for column in (*CSV_COLUMNS, *figures, *behind)])


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def is_table(path: Path) -> bool:
    """Whether a file begins as what this module writes."""
    heads = [head.encode() for head in (MARKDOWN_HEAD, LATEX_HEAD, ",".join(CSV_COLUMNS))]
    with path.open("rb") as file:
        return file.read(max(map(len, heads))).startswith(tuple(heads))


# --- Earlier reports ------------------------------------------------------------------------------------------


def stored_curves(paths: list[Path], names: list[str], norm: str, taken: Sequence[str]) -> dict[str, np.ndarray]:
    """The NME of each face in earlier reports of --json, labelled by the file's stem, or its path where that is taken.

    names: the faces measured now; a label says where a file has other faces. norm: the normaliser.
    taken: labels of other curves.

    Raises:
        InputError: a file can't be read, is no report, or has another normaliser.
    """
    curves = {}
    for path in paths:
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            errors, other = stored["nme_by_face"], stored["normaliser"]
            values = np.array([float(error) for error in errors.values()])
            if not len(values) or not np.isfinite(values).all():
                raise ValueError
        except OSError as error:
            raise InputError(f"{path}: can't be read ({error.strerror}); check the path") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{path}: holds no errors by face; give a file that evaluate.py --json wrote") from error
        if other != norm:
            raise InputError(f"{path}: its errors are {other}, not {norm}; write it anew with --norm {norm}")
        others = "" if errors.keys() == set(names) else " (other faces)"
        label = f"{path.stem}{others}"
        curves[label if label not in (*taken, *curves) else f"{path}{others}"] = values
    return curves
