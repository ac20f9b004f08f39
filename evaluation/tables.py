"""Several sets of points on the same faces, side by side in one table: as text, Markdown, LaTeX and CSV.

Reports are those of evaluate.py, by name; the others are compared with the first. Pairs are `metrics.differences`.
"""

from collections.abc import Sequence
from pathlib import Path

from evaluation import metrics
from face68.files import atomic_path, printable
from face68.formats import csv_writer

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
    norm, found = top["normaliser"], []
    from_first = {pair["minus"]: pair for pair in pairs if pair["of"] == first}
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
        found.append(row)
    return found


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
        f"NME, FR and AUC ({norm}): errors are divided by {metrics.MEANINGS[norm]}; a missed face counts as "
        f"{metrics.MISSED:.0%} (inter-ocular).",
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
    from_first = {pair["minus"]: pair for pair in pairs if pair["of"] == first}
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


def as_text(reports: dict[str, dict], pairs: Sequence[dict]) -> str:
    """The table, what it means and how any two differ, for the terminal."""
    lines = [text_table(rows(reports, pairs)), *notes(next(iter(reports.values())), bool(pairs))]
    return "\n".join(lines + difference_lines(reports, pairs))
