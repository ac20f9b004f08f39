"""How many small faults in the code do its tests see? Makes some by mutmut's rules, and runs the tests on each.

    pip install mutmut==3.8.1                                # for this command alone; it works where os.fork does
    python -m benchmarks.faults --seed 0 --faults 300        # a sample of all that could be made: half an hour
    python -m benchmarks.faults training/losses.py --faults 40# of one file

A fault is one change to one place: + for -, < for <=, an argument left out, a number one larger, or twice as large
where it has a fraction. Two of mutmut's rules are left out: None in a value's place, which nearly always crashes, and
changes to texts of several words. Each fault is put into a copy of the repository, and the tests of its file (TESTS)
run there, the quickest ones first, until one fails. Faults that no test sees are printed, file by file; some of them
change nothing, so 100% can't be reached.

Tests that start a process of their own take seconds each and are left out. Tests of real data run if $REAL_DATA is set.
"""

import argparse
import difflib
import gc
import importlib
import itertools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import NamedTuple

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
    "training/keypoints.py": ["calibration", "tasks"],
    "training/checkpoint.py": ["checkpoint"],
    "face68/annotators.py": ["annotators"],
}
PATIENCE = 10  # times the CPU seconds that the tests take without a fault, and half a minute: then it hangs
LONGEST = 3600  # seconds by the clock
MEMORY = 8 << 30  # bytes that the tests may take


# --- Faults ---------------------------------------------------------------------------------------------------


class Fault(NamedTuple):
    """A node of a file's syntax tree, what takes its place, and the function that it is in the body of, "" if none."""

    file: str
    node: cst.CSTNode
    other: cst.CSTNode
    function: str


class Faults(cst.CSTVisitor):
    """Collects what mutmut can change in a file."""

    def __init__(self, file: str):
        self.file, self.found = file, []
        self.names: list[str] = []  # of the classes and functions around
        self.function = ""

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        self.names.append(node.name.value)

    def leave_ClassDef(self, node: cst.ClassDef) -> None:
        self.names.pop()

    visit_FunctionDef, leave_FunctionDef = visit_ClassDef, leave_ClassDef

    def visit_FunctionDef_body(self, node: cst.FunctionDef) -> None:
        self.function = self.function or ".".join(self.names)

    def leave_FunctionDef_body(self, node: cst.FunctionDef) -> None:
        if self.function == ".".join(self.names):
            self.function = ""

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Annotation):
            return False
        others = [other for kind, make in mutation_operators if isinstance(node, kind) for other in make(node)]
        if isinstance(node, cst.Float):
            others = [node.with_changes(value=repr(2 * node.evaluated_value or 1.0))]
        elif isinstance(node, cst.SimpleString):  # of mutmut's three the one that isn't about upper and lower case
            others = others[:1] if " " not in node.value else []
        self.found += [Fault(self.file, node, other, self.function) for other in others if not is_emptied(node, other)]
        return super().on_visit(node)


def faults_of(file: str, module: cst.Module) -> list[Fault]:
    faults = Faults(file)
    module.visit(faults)
    return faults.found


def is_emptied(node: cst.CSTNode, other: cst.CSTNode) -> bool:
    """Whether a value or an argument became None."""
    if isinstance(node, cst.Call) and len(node.args) == len(other.args):
        changed = [new.value for new, old in zip(other.args, node.args, strict=True) if new is not old]
        return any(isinstance(value, cst.Name) and value.value == "None" for value in changed)
    return isinstance(node, cst.Assign | cst.AnnAssign | cst.Lambda)


# --- Tests ----------------------------------------------------------------------------------------------------


class Quickest:
    """A plugin of pytest: of each file of tests the quickest ones come first, and none starts a process."""

    def __init__(self, times: dict[str, float]):
        self.times = times

    def pytest_collection_modifyitems(self, items: list) -> None:
        items[:] = [item for item in items if "command" not in item.fixturenames]
        files = list(dict.fromkeys(item.path for item in items))
        items.sort(key=lambda item: (files.index(item.path), self.times.get(item.nodeid, 0)))


class InBodies(Quickest):
    """Runs the tests, and then anew with each fault in the body of a function: all is loaded and collected but once.

    path: of the file with the faults. texts: of it, one with each fault, by the faults' functions.
    notes: where is written what was found: the tests' times and CPU seconds, and of each fault whether it is seen;
        None: that can't be told so, for the function was called while all was loaded.
    """

    def __init__(self, path: Path, texts: list[tuple[str, str]], notes: Path):
        super().__init__({})
        self.path, self.texts, self.notes = path, texts, notes
        self.called: set[str] = set()
        sys.setprofile(self.note_call)

    def note_call(self, frame, event: str, _) -> None:
        if event == "call" and frame.f_code.co_filename == str(self.path):
            self.called.add(frame.f_code.co_name)

    def pytest_collection_finish(self) -> None:
        sys.setprofile(None)

    def pytest_runtest_logreport(self, report) -> None:
        self.times[report.nodeid] = self.times.get(report.nodeid, 0) + report.duration

    def pytest_runtestloop(self, session) -> bool:
        def run_all() -> int:
            for item, following in itertools.zip_longest(session.items, session.items[1:]):
                session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if session.testsfailed:
                    return 1
            self.notes.write_text(json.dumps(self.times))
            return 0

        def run_with(text: str) -> int:
            graft(self.path, text)
            return run_all()

        if forked(run_all, 0) != 0:
            return True
        seconds = round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime)
        self.times = json.loads(self.notes.read_text())
        self.pytest_collection_modifyitems(session.items)
        seen = []
        for function, text in self.texts:
            if not function or function.rpartition(".")[2] in self.called:
                seen.append(None)
            else:
                self.path.write_text(text)
                seen.append(forked(lambda text=text: run_with(text), 30 + PATIENCE * seconds) != 0)
        self.notes.write_text(json.dumps({"times": self.times, "seconds": seconds, "seen": seen}))
        return True


def graft(path: Path, text: str) -> None:
    """Give the functions that are loaded from a file the code that they have in another text of it."""
    codes = dict(functions_of(compile(text, str(path), "exec")))
    for thing in gc.get_objects():
        if isinstance(thing, FunctionType) and thing.__code__.co_filename == str(path) and thing.__qualname__ in codes:
            thing.__code__ = codes[thing.__qualname__]


def functions_of(code: CodeType, names: tuple[str, ...] = ()) -> Iterator[tuple[str, CodeType]]:
    """The functions of a module and the methods of its classes, by their qualified names."""
    for inner in code.co_consts:
        if isinstance(inner, CodeType) and inner.co_name.isidentifier():
            here = (*names, inner.co_name)
            if inner.co_flags & 1:  # CO_OPTIMIZED: no class
                yield ".".join(here), inner
            else:
                yield from functions_of(inner, here)


def forked(work: Callable[[], int], seconds: int) -> int:
    """The exit status of some work, done in a process of its own that may take so many CPU seconds; 0: any."""
    if (process := os.fork()) == 0:
        try:
            if seconds:
                resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
                signal.alarm(LONGEST)  # it may sleep, too
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, 1), os.dup2(nothing, 2)
            os._exit(work())
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


class Workplace:
    """A copy of the repository in which tests run, each time in a process forked from this one: torch is there already.

    folder: where the copy is put.
    """

    def __init__(self, folder: Path):
        self.root, self.notes = folder / ROOT.name, folder / "notes.json"
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.check_output(listed, cwd=ROOT, text=True).split("\0"):
            if name and (ROOT / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.root / name)
        os.chdir(self.root)
        elsewhere = [path for path in sys.path if path not in ("", str(ROOT))]
        sys.path[:] = [str(self.root), str(self.root / "tests"), *elsewhere]
        sys.modules.pop("benchmarks", None)
        sys.dont_write_bytecode = True  # a fault may leave its file as long as it was, and be there within a second
        hypothesis.settings.register_profile(  # the same examples each time, and no search for the smallest one
            "faults", deadline=None, derandomize=True, database=None, phases=["explicit", "generate"]
        )

    def load(self, tests: list[str]) -> None:
        """Load what these tests need, and forget what is of the repository: that is loaded anew by each run."""
        for test in tests:
            importlib.import_module(f"test_{test}")
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", "")).startswith(str(self.root)):
                del sys.modules[name]

    def seen(self, file: str, texts: list[tuple[str, str]]) -> Iterator[bool]:
        """Of versions of a file, each with the function that it differs in, whether the file's tests see the fault."""
        path, files = self.root / file, [f"tests/test_{test}.py" for test in TESTS[file]]
        line = ["-x", "-p", "no:cacheprovider", "--hypothesis-profile", "faults", *files]
        self.load(TESTS[file])
        self.notes.unlink(missing_ok=True)
        forked(lambda: pytest.main(line, [InBodies(path, texts, self.notes)]), 0)
        found = json.loads(self.notes.read_text()) if self.notes.exists() else {}
        if "seen" not in found:
            raise SystemExit(f"the tests of {file} fail as it is: {', '.join(files)}")
        for (_, text), is_seen in zip(texts, found["seen"], strict=True):
            if is_seen is None:
                path.write_text(text)
                seconds = 30 + PATIENCE * found["seconds"]
                is_seen = forked(lambda: pytest.main(line, [Quickest(found["times"])]), seconds) != 0
            yield is_seen
        shutil.copy2(ROOT / file, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", default=list(TESTS), help="of TESTS; default: all")
    parser.add_argument("--faults", type=int, default=300, help="how many are drawn from all; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the draw; default: %(default)s")
    options = parser.parse_args()
    if unknown := set(options.files) - set(TESTS):
        parser.error(f"{', '.join(sorted(unknown))}: not in TESTS; choose from {', '.join(TESTS)}")
    modules = {file: cst.parse_module((ROOT / file).read_text()) for file in options.files}
    possible = [fault for file, module in modules.items() for fault in faults_of(file, module)]
    chosen = random.Random(options.seed).sample(possible, min(options.faults, len(possible)))
    print(f"{len(chosen)} of {len(possible)} faults, seed {options.seed}", flush=True)
    made, missed = Counter(fault.file for fault in chosen), Counter()
    with tempfile.TemporaryDirectory() as folder:
        place = Workplace(Path(folder))
        for file, module in modules.items():
            texts = [
                (one.function, module.deep_replace(one.node, one.other).code) for one in chosen if one.file == file
            ]
            for (function, text), is_seen in zip(texts, place.seen(file, texts), strict=True):
                if not is_seen:
                    missed[file] += 1
                    lines = (version.splitlines() for version in (module.code, text))
                    print(*difflib.unified_diff(*lines, file, function, n=0, lineterm=""), sep="\n", flush=True)
            print(f"{file}: {made[file] - missed[file]} of {made[file]} seen", flush=True)
        os.chdir(ROOT)
    print(f"all: {len(chosen) - missed.total()} of {len(chosen)} seen, {1 - missed.total() / len(chosen):.0%}")


if __name__ == "__main__":
    main()
