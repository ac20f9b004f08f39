"""An evaluation as one HTML page over the pictures that evaluate.py writes beside it: tables, and what made them."""

import html
from collections.abc import Sequence
from pathlib import Path

from face68.files import atomic_path, printable

HEAD = (
    '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<meta name="generator" content="face68 evaluate.py">\n'
)
_STYLE = """
body { margin: 2rem auto; padding: 0 1rem; max-width: 68rem; font: 1rem/1.5 system-ui, sans-serif; color: #22262a; }
h1 { font-size: 1.5rem; }
h1, p, dd { overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: 1.5rem 0; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #e5e5e5; white-space: nowrap; }
th:first-child { text-align: left; }
img { display: block; max-width: 100%; margin: 2rem 0; }
"""


def write_page(
    path: Path,
    title: str,
    tables: Sequence[Sequence[dict[str, str]]],
    notes: Sequence[str],
    pictures: dict[str, str],
    facts: dict[str, str],
) -> None:
    """Write the page, whole or not at all.

    title: what was measured. tables: of each one its rows, by heading. notes: a paragraph each, below the tables.
    pictures: by the names of their files, which lie beside the page, what they show. facts: how it was made, by name.

    Raises:
        InputError: the place can't be written to.
    """
    images = "".join(f'<img src="{name}" alt="{text(shown)}">\n' for name, shown in pictures.items())
    made = "".join(f"<dt>{text(name)}</dt><dd><code>{text(value)}</code></dd>\n" for name, value in facts.items())
    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    with atomic_path(path) as temporary:
        temporary.write_text(
            f"{HEAD}{viewport}<title>{text(title)}</title>\n<style>{_STYLE}</style>\n<h1>{text(title)}</h1>\n"
            f"{''.join(map(_table, tables))}{''.join(f'<p>{text(note)}</p>' for note in notes)}\n"
            f"{images}<dl>\n{made}</dl>\n</html>\n",
            encoding="utf-8",
        )


def is_page(path: Path) -> bool:
    """Whether a file begins as what `write_page` writes."""
    with path.open("rb") as file:
        return file.read(len(HEAD)) == HEAD.encode()


def text(value: object) -> str:
    """A text for the page: whatever a file's name holds, it is shown and does nothing."""
    return html.escape(printable(str(value)))


def _table(rows: Sequence[dict[str, str]]) -> str:
    lines = [[f"<th>{text(heading)}</th>" for heading in rows[0]]]
    for name, *cells in (row.values() for row in rows):
        lines.append([f"<th>{text(name)}</th>", *(f"<td>{text(cell)}</td>" for cell in cells)])
    body = "".join(f"<tr>{''.join(line)}</tr>\n" for line in lines)
    return f'<div class="wide"><table>\n{body}</table></div>\n'
