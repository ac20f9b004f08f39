"""Every command's help, values of options, error lines and exit status."""

import argparse
import importlib
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from conftest import REPOSITORY, encoded
from PIL import Image

from cli.arguments import float_from_zero, pixels_or_share, positive_float, probability
from face68.files import InputError
from face68.images import read_image
from face68.program import log, parser, positive_int, report_problems, run_program, whole_number


@pytest.fixture
def ended(capsys, monkeypatch):
    """Run a `main` as a command; its status, stdout and stderr."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # which a command sets

    def run(main) -> tuple:
        with pytest.raises(SystemExit) as end:
            run_program(main)
        return (end.value.code, *capsys.readouterr())

    return run


LONG, TOO_SMALL = 300 * "a", "the memory of this machine is too small for that; give smaller pictures, or fewer"


def raising(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("main", "status", "errors"),
    [
        (lambda: None, None, ""),
        (lambda: 2, 2, ""),
        (lambda: sys.exit(5), 5, ""),
        (raising(InputError("a\nb\x1b[2J.jpg: is empty")), 2, "error: a\\nb\\x1b[2J.jpg: is empty\n"),
        (raising(KeyboardInterrupt), 130, "stopped by Ctrl-C\n"),
        (raising(KeyboardInterrupt("SIGTERM")), 130, "stopped by SIGTERM\n"),
        (raising(MemoryError), 2, f"error: {TOO_SMALL}\n"),
        (lambda: Path(LONG).stat(), 2, f"error: {LONG}: can't be read (File name too long); check the path\n"),
    ],
)
def test_a_command_ends_with_a_status_and_at_most_a_line(ended, main, status, errors):
    assert ended(main) == (status, "", errors)


def run_code(code: str, **options) -> subprocess.CompletedProcess:
    line = [sys.executable, "-c", f"from face68.program import log, run_program\n{code}"]
    return subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, **options)


def test_a_reader_that_has_enough_is_no_error():
    code = "run_program(lambda: [log('line') for _ in range(100000)] and None)"
    shell = f'set -o pipefail; {sys.executable} -c "from face68.program import *; {code}" | head -1'
    done = subprocess.run(["bash", "-c", shell], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "line\n", "")


def test_names_without_letters_in_the_terminals_encoding():
    done = run_code("run_program(lambda: print('ü顔'))", env={"PYTHONIOENCODING": "ascii", "PATH": ""})
    assert (done.returncode, done.stdout) == (0, "\\xfc\\u9854\n")


def test_a_command_reads_pictures_in_silence(ended, tmp_path):
    """Damaged ones and those with odd metadata too: the error's line says enough."""
    picture = Image.effect_noise((30, 20), 80).convert("RGB")
    png, profile = encoded(picture, "PNG"), b"iCCPbad\0\0" + zlib.compress(b"no profile")
    chunk = (len(profile) - 4).to_bytes(4, "big") + profile + zlib.crc32(profile).to_bytes(4, "big")
    files = {
        "cut.jpg": encoded(picture, "JPEG")[:400],
        "junk_exif.jpg": encoded(picture, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01"),
        "profile.png": png[:33] + chunk + png[33:],
    }
    read = []

    def main():
        for name, content in files.items():
            try:
                read_image(content, name)
                read.append(name)
            except InputError:
                pass

    assert ended(main) == (None, "", "") and read == ["junk_exif.jpg", "profile.png"]


@pytest.mark.parametrize(("side", "words"), [(15_000, "is damaged"), (16_000, "more than 250 megapixels")])
def test_a_command_reads_pictures_up_to_250_megapixels(ended, side, words):
    status, _, errors = ended(lambda: read_image(f"P6 {side} {side} 255\n".encode(), "large.ppm"))  # and no pixels
    assert status == 2 and words in errors and errors.count("\n") == 1


def test_help_shows_defaults_but_for_switches_and_options_without():
    p = parser("100%, all\n\n    as it is written")
    p.add_argument("--seed", default=0, help="of the draws")
    p.add_argument("--share", default="5%", help="100%, FR@8% or %s")
    p.add_argument("--file", help="to write")
    p.add_argument("--quick", action="store_true", help="in a hurry")
    p.add_subparsers().add_parser("measure", help="FR@8%, AUC")
    text = p.format_help()
    assert "100%, all\n\n    as it is written" in text and "FR@8%, AUC" in text
    lines = {line.split()[0]: line.strip() for line in text.splitlines() if line.strip().startswith("--")}
    assert lines["--seed"].endswith("of the draws (default: 0)")
    assert lines["--share"].endswith("100%, FR@8% or %s (default: 5%)")
    assert lines["--file"].endswith("to write") and lines["--quick"].endswith("in a hurry")


COMMANDS = [path.stem for path in REPOSITORY.glob("*.py") if "launch.run(main)" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_subcommand_has_a_help(name, monkeypatch):
    parsers = []

    def parse(self, line=None):
        parsers.append(self)
        sys.exit()

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_intermixed_args", parse)
    with pytest.raises(SystemExit):
        importlib.import_module(name).main()
    for one in parsers:
        subcommands = [action for action in one._actions if isinstance(action, argparse._SubParsersAction)]
        parsers += [command for action in subcommands for command in action.choices.values()]
        assert one.format_help().startswith("usage: ")


def test_a_wrong_argument_is_one_line_that_plays_no_tricks(capsys):
    p = parser("")
    p.prog = "it.py"
    p.add_argument("--count", type=positive_int)
    for line, words in (
        (["--count", "0"], "'0' is not a whole number from 1"),
        (["--cou", "3"], "--cou"),
        (["\x1b[2J\n"], r"\x1b[2J\n"),
    ):
        with pytest.raises(SystemExit) as exit_:
            p.parse_args(line)
        assert exit_.value.code == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and words in error and error.endswith("; see it.py --help\n")


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (positive_int, {"1": 1, "30": 30}, ["0", "-1", "1.5", "", "two", "²", "9" * 5000]),
        (whole_number, {"0": 0, "7": 7}, ["-1", "0.0", "", "²"]),
        (positive_float, {"1e-3": 0.001, "2": 2.0}, ["0", "-1", "nan", "inf", "", "x"]),
        (float_from_zero, {"0": 0.0, "2": 2.0}, ["-1", "nan", "inf", "", "x"]),
        (probability, {"0": 0.0, "1": 1.0, ".5": 0.5}, ["-0.1", "1.1", "nan", "", "x"]),
        (pixels_or_share, {"1": 1.0, "40": 40.0, "5%": 0.05}, ["0.5", "0%", "100%", "nan", "%", "5px"]),
    ],
)
def test_values_of_options(kind, good, bad):
    assert {text: kind(text) for text in good} == good
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError, match=r"is not a|is neither"):
            kind(text)


def test_what_is_logged_and_reported_is_a_line_each(capsys):
    log("a\nb")
    assert report_problems([InputError("x\ny: is empty"), InputError("z: too")]) == 2 and report_problems([]) == 0
    assert capsys.readouterr() == ("a\\nb\n", "error: x\\ny: is empty\nerror: z: too\n")
