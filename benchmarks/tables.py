"""Tables of what was measured: as text, and as JSON beside the machine that it was measured on.

A table is a list of rows, dicts of the same keys, "name" first. A key's first word says what is counted (see UNITS).
"""

import contextlib
import json
import math
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from checkpoint import git_commit
from face68.files import atomic_path

HEAD = b'{\n  "machine": {'  # of a file that `write_tables` wrote

UNITS = {  # by the first word of a column's name: what its heading says in its place, and how its values are written
    "ms": ("ms", ".2f"),
    "s": ("s", ".2f"),
    "exponent": ("exponent", ".2f"),
    "mib": ("MiB", ".0f"),
    "mb": ("MB", ".1f"),
    "rate": ("photos/s", ".1f"),
    "ratio": ("×", ".2f"),
    "share": ("share", ".1%"),
    "found": ("found", ".1%"),
    "others": ("others", ".3f"),
    "nme": ("NME", ".2%"),
    "fr8": ("FR@8%", ".1%"),
    "deg": ("°", ".1f"),
    "jitter": ("jitter", ".3%"),
    "lag": ("lag", ".2f"),
    "less": ("×", ".1f"),
}


def as_text(rows: Sequence[dict]) -> str:
    """A table: a column for each key, names to the left, figures to the right, a dash where one is NaN."""
    lines = [[heading(key) for key in rows[0]], *([cell(*item) for item in row.items()] for row in rows)]
    first, *widths = (max(map(len, column)) for column in zip(*lines, strict=True))
    return "\n".join("  ".join([line[0].ljust(first), *map(str.rjust, line[1:], widths)]).rstrip() for line in lines)


def heading(key: str) -> str:
    unit, *others = key.split("_")
    return " ".join([UNITS.get(unit, (unit,))[0], *others])


def cell(key: str, value) -> str:
    unit = key.partition("_")[0]
    if unit not in UNITS:
        return str(value)
    return "–" if math.isnan(value) else format(value, UNITS[unit][1])


def write_tables(path: Path, arguments: dict, tables: dict[str, list[dict]]) -> None:
    """Tables by name as JSON, with the machine and the command's arguments; null where a figure is NaN."""
    named = {name: [{key: plain(value) for key, value in row.items()} for row in rows] for name, rows in tables.items()}
    report = {"machine": describe_machine(), "arguments": arguments, "tables": named}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(report, indent=2) + "\n")


def read_tables(path: Path) -> dict[str, list[dict]]:
    """The tables that `write_tables` wrote there, NaN where it has null."""
    named = json.loads(path.read_text())["tables"]
    return {
        name: [{key: math.nan if value is None else value for key, value in row.items()} for row in rows]
        for name, rows in named.items()
    }


def plain(value):
    """A figure as JSON knows it."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and math.isnan(value) else value


def holds_tables(path: Path) -> bool:
    """Whether a file begins as what `write_tables` writes."""
    with path.open("rb") as file:
        return file.read(len(HEAD)) == HEAD


LIBRARIES = {  # what a table of times depends on: names, and the modules that know their versions
    "numpy": "numpy",
    "opencv": "cv2",
    "onnxruntime": "onnxruntime",
    "torch": "torch",
    "mediapipe": "mediapipe",
    "dlib": "dlib",
}


def describe_machine() -> dict:
    """Processor, system and the versions of all that this process has imported and times depend on."""
    versions = {name: sys.modules[module].__version__ for name, module in LIBRARIES.items() if module in sys.modules}
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **versions,
        "git_commit": git_commit(),
    }


def processor() -> str:
    """The processor's name, where Linux tells it, else its kind."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, name = line.partition(":")
            if key.strip() == "model name":
                return name.strip()
    return platform.processor() or platform.machine()
