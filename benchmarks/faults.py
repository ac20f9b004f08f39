"""How many small faults in the code do its tests see? Makes some by mutmut's rules, and runs the tests on each.

    pip install mutmut==3.8.1                                # for this command alone; it works where os.fork does
    python -m benchmarks.faults --seed 0 --faults 300        # a sample of all that could be made
    python -m benchmarks.faults training/losses.py --faults 40    # of one file

A fault is one change to one place: + for -, < for <=, an argument left out, a number one larger, or twice as large
where it has a fraction. Two of mutmut's rules are left out: None in a value's place, which nearly always crashes, and
changes to texts of several words. Each fault is put into a copy of the repository as it is in git's index, and the
tests of its file (TESTS) run there, the quickest ones first, until one fails. Faults that no test sees are printed,
file by file; some of them change nothing, so 100% can't be reached.

Tests that start a process of their own take seconds each and are left out. Tests of real data run if $REAL_DATA is set.
"""

import argparse
import difflib
import importlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import hypothesis
import libcst as cst
import pytest
from mutmut.mutation.mutators import mutation_operators

ROOT = Path(__file__).resolve().parent.parent
TESTS = {  # a file: its tests, tests/test_NAME.py
    "evaluation/metrics.py": ["metrics"],
    "face68/geometry.py": ["geometry", "bounds"],
    "face68/landmarker.py": ["landmarker"],
    "face68/detect.py": ["detect"],
    "face68/tracking.py": ["tracking"],
    "face68/smoothing.py": ["smoothing", "tracking"],
    "face68/measures.py": ["measures"],
    "face68/formats.py": ["formats"],
    "training/losses.py": ["losses"],
    "data_load.py": ["data_load"],
    "training/keypoints.py": ["tasks", "recipes", "calibration"],
    "training/checkpoint.py": ["checkpoint", "fine_tuning"],
    "face68/annotators.py": ["annotators"],
}
LIBRARIES = ("torch", "torchvision", "cv2", "onnx", "onnxruntime", "pandas", "matplotlib.figure")  # slow to load
PATIENCE = 10  # times the CPU seconds that the tests take without a fault, and half a minute: then it hangs
LONGEST = 3600  # seconds by the clock
MEMORY = 8 << 30  # bytes that the tests may take


class Faults(cst.CSTVisitor):
    """Collects what mutmut can change in a file: pairs of a node of its syntax tree and what takes the node's place."""

    def __init__(self):
        self.pairs: list[tuple[cst.CSTNode, cst.CSTNode]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Annotation):
            return False
        others = [other for kind, make in mutation_operators if isinstance(node, kind) for other in make(node)]
        if isinstance(node, cst.Float):
            others = [node.with_changes(value=repr(2 * node.evaluated_value or 1.0))]
        elif isinstance(node, cst.SimpleString):  # of mutmut's three the one that isn't about upper and lower case
            others = others[:1] if " " not in node.value else []
        self.pairs += [(node, other) for other in others if not is_emptied(node, other)]
        return True


def is_emptied(node: cst.CSTNode, other: cst.CSTNode) -> bool:
    """Whether a value or an argument became None."""
    if isinstance(node, cst.Call) and len(node.args) == len(other.args):
        changed = [new.value for new, old in zip(other.args, node.args, strict=True) if new is not old]
        return any(isinstance(value, cst.Name) and value.value == "None" for value in changed)
    return isinstance(node, cst.Assign | cst.AnnAssign | cst.Lambda)


class QuickestFirst:
    """A plugin of pytest: the quickest tests of each file come first, by the times of the first run; no processes."""

    def __init__(self, times: Path):
        self.file, self.measured = times, defaultdict(float)
        self.times = json.loads(times.read_text()) if times.exists() else {}

    def pytest_collection_modifyitems(self, items: list) -> None:
        items[:] = [item for item in items if not {"command", "warm"} & {*item.fixturenames}]
        items.sort(key=lambda item: (item.path, self.times.get(item.nodeid, 0)))

    def pytest_runtest_logreport(self, report) -> None:
        self.measured[report.nodeid] += report.duration

    def pytest_sessionfinish(self) -> None:
        if not self.times:
            self.file.write_text(json.dumps(self.measured))


def run_tests(root: Path, file: str, seconds: int = resource.RLIM_INFINITY) -> tuple[bool, float]:
    """Whether a file's tests pass within so many CPU seconds, and how many they took, in a copy of the repository."""
    if (process := os.fork()) == 0:  # in which the libraries are loaded
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
            signal.alarm(LONGEST)  # it may sleep, too
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, 1), os.dup2(nothing, 2)
            os.chdir(root)
            sys.path[:] = [str(root), str(root / "tests"), *(path for path in sys.path if path not in ("", str(ROOT)))]
            del sys.modules["benchmarks"]
            line = ["-x", "-p", "no:cacheprovider", "--hypothesis-profile", "faults"]
            line += [f"tests/test_{name}.py" for name in TESTS[file]]
            os._exit(pytest.main(line, [QuickestFirst(root.parent / f"{Path(file).name}.json")]))
        finally:
            os._exit(1)
    _, status, usage = os.wait4(process, 0)
    return status == 0, usage.ru_utime


def survivors(root: Path, file: str, texts: list[str]) -> list[str]:
    """Those of the versions of a file, with a fault each, with which its tests pass."""
    passes, seconds = run_tests(root, file)
    if not passes:
        raise SystemExit(f"the tests of {file} fail as it is: {', '.join(TESTS[file])}")
    unseen, original = [], (root / file).read_text()
    for number, text in enumerate(texts):
        (root / file).write_text(text)
        os.utime(root / file, (number, number))  # so that Python compiles it anew
        unseen += [text] * run_tests(root, file, 30 + PATIENCE * round(seconds))[0]
    (root / file).write_text(original)
    return unseen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", default=list(TESTS), help="of TESTS; default: all")
    parser.add_argument("--faults", type=int, default=300, help="how many are drawn from all; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the draw; default: %(default)s")
    args = parser.parse_args()
    if unknown := set(args.files) - set(TESTS):
        parser.error(f"{', '.join(sorted(unknown))}: not in TESTS; choose from {', '.join(TESTS)}")
    for name in LIBRARIES:
        importlib.import_module(name)
    hypothesis.settings.register_profile(  # the same examples each time, and no search for the smallest one
        "faults", deadline=None, derandomize=True, database=None, phases=["explicit", "generate"]
    )
    with tempfile.TemporaryDirectory() as folder:
        root, seen = Path(folder, ROOT.name), 0
        subprocess.run(["git", "checkout-index", "--all", f"--prefix={root}/"], cwd=ROOT, check=True)
        modules, possible = {file: cst.parse_module((root / file).read_text()) for file in args.files}, []
        for file, module in modules.items():
            module.visit(faults := Faults())
            possible += [(file, *pair) for pair in faults.pairs]
        chosen = random.Random(args.seed).sample(possible, min(args.faults, len(possible)))
        print(f"{len(chosen)} of {len(possible)} faults, seed {args.seed}", flush=True)
        for file, module in modules.items():
            texts = [module.deep_replace(node, other).code for name, node, other in chosen if name == file]
            unseen = survivors(root, file, texts)
            for text in unseen:
                lines = (version.splitlines() for version in (module.code, text))
                print(*difflib.unified_diff(*lines, file, n=0, lineterm=""), sep="\n")
            print(f"{file}: {len(texts) - len(unseen)} of {len(texts)} seen", flush=True)
            seen += len(texts) - len(unseen)
    print(f"all: {seen} of {len(chosen)} seen, {seen / len(chosen):.0%}")


if __name__ == "__main__":
    main()
