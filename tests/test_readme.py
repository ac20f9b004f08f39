"""The commands and snippets of the README and of docs/*.md work.

A command is a line of an indented or fenced block, or code in a line of text, that begins with one of PROGRAMS. Every
one is accepted by its program. Those of the README that aren't TOO_LONG run, and so do the Python snippets, one after
the other, in a copy of the repository in which small stand-ins lie under the names that the documents use.
"""

import itertools
import json
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from conftest import REPOSITORY, SAMPLE

from face68.formats import read_json
from face68.frames import FilmReader, film_writer

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [README, *(path.read_text(encoding="utf-8") for path in sorted(REPOSITORY.glob("docs/*.md")))]
ROOMS = sorted({path.parent.name for path in REPOSITORY.glob("*/*.py")} - {"tests"})  # folders of our modules
PROGRAMS = ("python", "make", "pip", "ruff", "cat", "torchrun")
# How commands begin that no test runs as they are, and why. What other tests run of them is in brackets.
TOO_LONG = {
    "make": "sets up an environment; `make test` runs this very test",
    "pip": "installs packages [test_wheel.py]",
    "ruff": "is run beside the tests by `make test`",
    "python3 -m venv": "sets up an environment",
    "python -m pytest": "is this very run",
    "torchrun": "minutes, in two processes [test_processes.py]",
    "python train.py": "minutes [test_train.py, and the first command of `make demo`]",
    "python -m benchmarks": "minutes, and other people's programs [test_benchmarks.py]",
    "python -m docs.pictures": "finds and draws for seconds [test_visualize.py]",
    "python examples/predict_ray.py": "needs Ray [test_ray.py]",
    "python prepare.py download": "350 MB [test_public_set.py]",
    "python prepare.py web": "33 MB [test_web.py]",
    "python prepare.py label": "serves until it is stopped [test_web.py]",
    "python -m http.server": "serves until it is stopped",
    "python prepare.py sample": "draws for a minute [test_drawn.py]",
    "python prepare.py film": "draws for a minute [test_films.py]",
    "python prepare.py shift": "needs faces enough to measure by [test_label_shift.py]",
    "python export.py": "tens of seconds [test_export.py]",
}
NEEDS = {  # what a command names that no stand-in can be: words in it, and why it isn't run
    "300w": "photographs of 300-W, which everybody fetches for themselves",
    "300W": "the same, its test sets",
    "runs/": "a network that the reader has trained",
    "best.": "a network that the reader has trained",
    "rtsp:": "a camera",
    "--show": "a window",
}


def blocks(text: str) -> tuple[list[str], list[str]]:
    """The Python snippets of a Markdown text, and the lines of its other blocks: fenced, or indented after a blank."""
    snippets = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    fenced = re.findall(r"^```(?!python)\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    indented = re.findall(r"(?:(?<=\n\n)|\A)((?:    .*\n)+)", rest)
    lines = "".join(fenced) + "".join(re.sub("^    ", "", block, flags=re.MULTILINE) for block in indented)
    return snippets, lines.replace("\\\n", " ").splitlines()


def commands(text: str) -> list[str]:
    """The command lines of a Markdown text, each once, without comments."""
    _, lines = blocks(text)
    spans = re.findall(r"(?<!`)`([^`]+)`(?!`)", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    lines += [re.sub(r"\s+", " ", span) for span in spans if " " in span]
    found = [part.strip() for line in lines for part in re.split(r"\s+#\s|&&", line + " ")]
    return list(dict.fromkeys(line for line in found if re.match(rf"({'|'.join(PROGRAMS)})\d? ", line)))


def is_run(command: str) -> bool:
    """Whether the test runs a command, not only sees that its program takes it: those of the README that can be."""
    shown = command in commands(README)
    return shown and not command.startswith(tuple(TOO_LONG)) and not any(word in command for word in NEEDS)


COMMANDS = list(dict.fromkeys(command for text in DOCUMENTS for command in commands(text)))
SNIPPETS = [snippet for text in DOCUMENTS for snippet in blocks(text)[0]]
(NETWORK,) = (snippet for snippet in SNIPPETS if "MODELS[" in snippet)  # a network of one's own, for models.py
SNIPPETS.remove(NETWORK)


def test_commands_are_read_off_all_blocks():
    text = (
        "# T\n\nSay `python a.py --x` or `best.pt`.\n\n"
        "    python b.py \\\n        --y    # why\n    cat c | python d.py\n\n"
        "```bash\npip install e && make f\n```\n\n```python\npython = 1\n```\n"
    )
    words = [" ".join(shlex.split(command)) for command in commands(text)]
    assert words == ["pip install e", "make f", "python b.py --y", "cat c | python d.py", "python a.py --x"]
    assert blocks(text)[0] == ["python = 1\n"]


def test_there_are_commands_and_many_are_run():
    assert len(COMMANDS) >= 20 and sum(map(is_run, COMMANDS)) >= 8 and SNIPPETS


# Runs in the copy, once for all: torch is imported once. Its argument is JSON, [[kind, what], …]; a result each.
DRIVER = r"""
import argparse, contextlib, io, json, runpy, sys, time, traceback

class Accepted(Exception):
    pass

Parser = argparse.ArgumentParser
parses = {name: getattr(Parser, name) for name in ("parse_args", "parse_intermixed_args")}
namespace, results = {"sys": sys}, []

def accepting(parse):
    def accept(self, *arguments, **options):
        parse(self, *arguments, **options)
        raise Accepted
    return accept

def run(script, arguments, piped):
    sys.argv = [script, *arguments]
    if piped:
        sys.stdin = io.TextIOWrapper(open(piped, "rb"))
    runpy.run_path(script, run_name="__main__")

# Coarser pictures, and fewer places to hide: both take time.
import plots.networks, plots.style, training.inspection
plots.networks.DPI = plots.style.DPI = 40
training.inspection.STEPS = 3

for kind, what in json.loads(sys.argv[1]):
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    status, began = 0, time.perf_counter()
    for name, parse in parses.items():
        setattr(Parser, name, accepting(parse) if kind == "accept" else parse)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            exec(what, namespace) if kind == "snippet" else run(*what)
        except Accepted:
            pass
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            status = traceback.format_exc()
    results.append([status, out.buffer.getvalue().decode(), time.perf_counter() - began])
print(json.dumps(results))
"""


@pytest.fixture
def readers_copy(tmp_path, tiny, photos):
    """The repository's code, and what the commands name: networks, photos, faces of one's own, pictures to lay on."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in REPOSITORY.glob("*.py"):
        shutil.copy(path, copy)
    for room in ROOMS:
        shutil.copytree(REPOSITORY / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (REPOSITORY / "saved_models").glob("[pd]*.*"):  # the shipped ones
        (copy / "saved_models").mkdir(exist_ok=True)
        shutil.copy(path, copy / "saved_models")
    shutil.copytree(tiny, copy / "data")
    shutil.copytree(tiny / "training", copy / "data" / "test")
    shutil.copy(tiny / "training_frames_keypoints.csv", copy / "data" / "test_frames_keypoints.csv")
    shutil.copytree(SAMPLE, copy / "data" / "sample")
    shutil.copytree(tiny, copy / "my_faces")
    for path in (copy / "data" / "film.mp4", copy / "film.mp4"):  # half a second
        with film_writer(path, 30, (640, 360)) as write:
            for frame in FilmReader(REPOSITORY / "data" / "film.mp4", end=0.5):
                write(frame.image)
    for folder in ("folder", "more"):
        shutil.copytree(photos, copy / folder)
    (copy / "more" / "0.jpg").rename(copy / "more" / "0.png")
    shutil.copy(REPOSITORY / "docs" / "collins.jpg", copy / "photo.jpg")
    shutil.copy(photos / "0.jpg", copy / "crop.png")
    with (copy / "models.py").open("a", encoding="utf-8") as file:
        file.write("\n\n" + NETWORK)
    for name in ("my_glasses.png", "my_cap.png"):
        shutil.copy(REPOSITORY / "face68" / "pictures" / "glasses.png", copy / name)
    return copy


def drive(folder, jobs) -> list:
    """The driver's result of each job: a status, 0 where all is well, what was printed, and the seconds it took."""
    (folder / "driver.py").write_text(DRIVER, encoding="utf-8")
    line = [sys.executable, "driver.py", json.dumps(jobs)]
    result = subprocess.run(line, cwd=folder, capture_output=True, text=True, encoding="utf-8")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def job(command: str):
    """Script, arguments and what is piped in of a command of ours; None where it is somebody else's."""
    piped, _, last = command.rpartition("|")
    words = shlex.split(last)
    if words[0] == "torchrun":  # its own options have a = each
        words = ["python", *itertools.dropwhile(lambda word: word.startswith("--"), words[1:])]
    if words[:2] == ["python", "-m"] and words[2].partition(".")[0] in ROOMS:
        module = words[2].replace(".", "/")
        words[1:3] = [f"{module}/__main__.py" if (REPOSITORY / module).is_dir() else f"{module}.py"]
    if words[0] != "python" or not words[1].endswith(".py"):
        return None
    return words[1], words[2:], piped.split()[-1] if piped else None


def test_every_command_runs_or_is_accepted_by_its_program_and_every_snippet_runs(readers_copy):
    """And so does a network of one's own, trained and used as the README says."""
    jobs = {line: ("run" if is_run(line) else "accept", job(line)) for line in COMMANDS if job(line)}
    jobs |= {snippet: ("snippet", snippet) for snippet in SNIPPETS}
    (name,) = re.findall(r'MODELS\["(\w+)"\]', NETWORK)
    jobs |= {
        "no export": ("snippet", "sys.modules['onnxscript'] = None"),  # which takes seconds
        "own, trained": ("run", job(f"python train.py --model {name} --epochs 1 --data my_faces --output-dir run")),
        "own, used": (
            "run",
            job("python predict.py crop.png --checkpoint run/best.pt --detector none --json points.json"),
        ),
    }
    results = dict(zip(jobs, drive(readers_copy, list(jobs.values())), strict=True))
    assert {what: result for what, result in results.items() if result[0] != 0} == {}
    (image,) = read_json(readers_copy / "points.json")
    assert image.faces[0].keypoints.shape == (68, 2) and image.faces[0].errors is None


def test_the_workflow_runs_what_the_readme_says():
    workflow = (REPOSITORY / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    run = [part for line in re.findall(r"- run: (.*)", workflow) for part in line.split(" && ")]
    assert {"make demo", "make test", "python -m pytest"} <= set(run) <= set(COMMANDS)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not here")
def test_make_help_names_every_command():
    listed = subprocess.run(["make", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    (phony,) = re.findall(r"^\.PHONY: (.*)", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert re.findall(r"^make (\w+) +\S", listed, re.MULTILINE) == phony.split()
