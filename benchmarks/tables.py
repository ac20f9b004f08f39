"""Tables of what was measured: as text, and as JSON beside the machine that it was measured on.

A table is a list of rows, dicts of the same keys, "name" first. A key's first word is the unit (see UNITS).
"""

import contextlib
import json
import math
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from evaluation.tables import text_table
from face68.files import atomic_path
from training.checkpoint import git_commit

HEAD = b'{\n  "machine": {'  # of a file that `write_tables` wrote
Tables = dict[str, list[dict]]  # by name

UNITS = {  # by the first word of a column's name: its word in the heading, and the format of its values
    "ms": ("ms", ".2f"),
    "mb": ("MB", ".1f"),
    "ratio": ("×", ".2f"),
    "share": ("share", ".1%"),
    "found": ("found", ".1%"),
    "others": ("others", ".3f"),
    "nme": ("NME", ".2%"),
    "fr8": ("FR@8%", ".1%"),
    "deg": ("°", ".1f"),
    "jitter": ("jitter", ".3%"),
    "lag": ("lag", ".2f"),
    "slope": ("slope", ".2f"),
    "peaks": ("peaks", ".2f"),
    "kept": ("kept", ".2f"),
    "less": ("×", ".1f"),
}


def as_text(rows: Sequence[dict]) -> str:
    """A table: a column for each key with its unit, a dash where a figure is NaN."""
    return text_table([{heading(key): cell(key, value) for key, value in row.items()} for row in rows])


def heading(key: str) -> str:
    unit, *others = key.split("_")
    return " ".join([UNITS.get(unit, (unit,))[0], *others])


def cell(key: str, value) -> str:
    unit = key.partition("_")[0]
    if unit not in UNITS:
        return str(value)
    return "–" if math.isnan(value) else format(value, UNITS[unit][1])


def write_tables(path: Path, arguments: dict, tables: Tables) -> None:
    """Tables by name as JSON, with the machine and the command's arguments; null where a figure is NaN."""
    plain = {name: json.loads(pd.DataFrame(rows).to_json(orient="records")) for name, rows in tables.items()}
    report = {"machine": describe_machine(), "arguments": arguments, "tables": plain}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(report, indent=2, default=str) + "\n")


def holds_tables(path: Path) -> bool:
    """Whether a file begins as what `write_tables` writes."""
    with path.open("rb") as file:
        return file.read(len(HEAD)) == HEAD


# What a table of times depends on: names, and the modules that know their versions.
LIBRARIES = {"opencv": "cv2"} | {name: name for name in ("numpy", "onnxruntime", "torch", "mediapipe", "dlib")}


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
