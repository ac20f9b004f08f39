"""What every command shares: its help, its complaints, and the process that is its own."""

import cli.launch as launch

import argparse
import importlib
import signal
import subprocess
import sys
import zlib

import pytest
from conftest import REPOSITORY, encoded, one_line_error
from PIL import Image

from cli.arguments import add_overwrite, positive_float, probability
from face68.files import InputError
from face68.program import log, parser, positive_int, report_problems, whole_number


def run_main(body: str, *arguments, **options) -> subprocess.CompletedProcess:
    """A command whose `main` is `body`, in a process of its own."""
    code = f"import sys\nfrom face68.program import run_program\ndef main():\n    {body}\nrun_program(main)"
    line = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, **options)


@pytest.mark.parametrize(("body", "status"), [("pass", 0), ("return 2", 2), ("sys.exit(5)", 5)])
def test_the_status_is_what_main_returns(body, status):
    done = run_main(body)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")


def test_an_input_error_is_one_line_whatever_the_name_holds():
    done = run_main("from face68.files import InputError; raise InputError('a\\nb\\x1b[2J.jpg: is empty')")
    assert one_line_error(done) == r"error: a\nb\x1b[2J.jpg: is empty"


def test_ctrl_c_is_a_line_and_130():
    done = run_main("raise KeyboardInterrupt")
    assert (done.returncode, done.stderr) == (130, "stopped by Ctrl-C\n")


_PRINTER = """
from face68.program import log, run_program
def main():
    for _ in range(100000): log("line")
run_program(main)
"""


def test_a_reader_that_has_enough_is_no_error():
    line = ["bash", "-c", f"set -o pipefail; {sys.executable} -c '{_PRINTER}' | head -1"]
    done = subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "line\n", "")


def test_names_without_letters_in_the_terminals_encoding(tmp_path):
    done = run_main("print('ü顔')", env={"PYTHONIOENCODING": "ascii", "PATH": ""})
    assert (done.returncode, done.stdout) == (0, "\\xfc\\u9854\n")


def test_a_command_reads_pictures_in_silence(tmp_path):
    """Damaged ones and those with odd metadata too: what matters is in the error's line."""
    picture = Image.effect_noise((30, 20), 80).convert("RGB")
    junk = b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01"
    png, tiff = encoded(picture, "PNG"), encoded(picture, "TIFF", compression="tiff_lzw")
    profile = b"iCCPbad\0\0" + zlib.compress(b"no profile")
    chunk = (len(profile) - 4).to_bytes(4, "big") + profile + zlib.crc32(profile).to_bytes(4, "big")
    files = {
        "cut.jpg": encoded(picture, "JPEG")[:400],
        "cut.tif": tiff[:-7],
        "junk_exif.jpg": encoded(picture, "JPEG", exif=junk),
        "profile.png": png[:33] + chunk + png[33:],
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    done = run_main(
        "from pathlib import Path\n    from face68 import InputError, read_image\n"
        "    for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "        try: read_image(path)\n"
        "        except InputError: print('refused', path.name)\n"
        "        else: print('read', path.name)",
        tmp_path,
    )
    assert done.stderr == "" and done.returncode == 0
    assert {"refused cut.jpg", "read junk_exif.jpg", "read profile.png"} <= set(done.stdout.splitlines())


def test_a_command_reads_pictures_up_to_250_megapixels(tmp_path):
    path = tmp_path / "large.ppm"
    for side, told in ((15_000, "is damaged"), (16_000, "more than 250 megapixels")):
        path.write_bytes(f"P6 {side} {side} 255\n".encode())  # and no pixels
        assert told in one_line_error(run_main("from face68 import read_image; read_image(sys.argv[1])", path))


def test_help_shows_defaults_but_for_switches_and_options_without(capsys):
    p = parser("What it does.\n\n    as it is written")
    p.add_argument("--seed", default=0, help="of the draws")
    p.add_argument("--share", default=0.0, help="of the rest")
    p.add_argument("--name", default="best", help="of the network")
    p.add_argument("--file", help="to write")
    p.add_argument("--quick", action="store_true", help="in a hurry")
    text = p.format_help()
    assert "What it does.\n\n    as it is written" in text
    lines = {line.split()[0]: line.strip() for line in text.splitlines() if line.strip().startswith("--")}
    assert lines["--seed"].endswith("of the draws (default: 0)")
    assert lines["--share"].endswith("of the rest (default: 0.0)")
    assert lines["--name"].endswith("of the network (default: best)")
    assert lines["--file"].endswith("to write") and lines["--quick"].endswith("in a hurry")


COMMANDS = [path.stem for path in REPOSITORY.glob("*.py") if "launch.run(main)" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_subcommand_has_a_help(name, monkeypatch, capsys):
    parsers = []

    def parse(self, line=None):
        parsers.append(self)
        sys.exit()

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)
    with pytest.raises(SystemExit):
        importlib.import_module(name).main()
    for one in parsers:
        subcommands = [action for action in one._actions if isinstance(action, argparse._SubParsersAction)]
        parsers += [command for action in subcommands for command in action.choices.values()]
        assert one.format_help().startswith("usage: ")


def test_a_percent_sign_in_a_help_is_one():
    p = parser("100%, all")
    p.add_argument("--share", default="5%", help="100%, FR@8% or %s")
    p.add_subparsers().add_parser("measure", help="FR@8%, AUC")
    assert "100%, all" in p.format_help() and "100%, FR@8% or %s (default: 5%)" in p.format_help()
    assert "FR@8%, AUC" in p.format_help()


def test_a_wrong_argument_is_one_line_that_plays_no_tricks(capsys):
    p = parser("")
    p.prog = "it.py"
    p.add_argument("--count", type=positive_int)
    for line, told in ((["--count", "0"], "'0' is not a whole number from 1"), (["--cou", "3"], "--cou")):
        with pytest.raises(SystemExit) as exit_:
            p.parse_args(line)
        assert exit_.value.code == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and told in error and error.endswith("; see it.py --help\n")
    with pytest.raises(SystemExit):
        p.parse_args(["\x1b[2J\n"])
    assert r"\x1b[2J\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (positive_int, {"1": 1, "30": 30}, ["0", "-1", "1.5", "", "two", "²"]),
        (whole_number, {"0": 0, "7": 7}, ["-1", "0.0", "", "²"]),
        (positive_float, {"1e-3": 0.001, "2": 2.0}, ["0", "-1", "nan", "inf", "", "x"]),
        (probability, {"0": 0.0, "1": 1.0, ".5": 0.5}, ["-0.1", "1.1", "nan", "", "x"]),
    ],
)
def test_values_of_options(kind, good, bad):
    assert {text: kind(text) for text in good} == good
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError, match="is not a"):
            kind(text)


def test_what_is_said_and_complained_of_is_a_line_each(capsys):
    log("a\nb")
    assert report_problems([InputError("x\ny: is empty"), InputError("z: too")]) == 2 and report_problems([]) == 0
    output, errors = capsys.readouterr()
    assert output == "a\\nb\n" and errors == "error: x\\ny: is empty\nerror: z: too\n"


def test_overwrite_is_off_unless_asked_for():
    p = parser("")
    add_overwrite(p)
    assert not p.parse_args([]).overwrite and p.parse_args(["--overwrite"]).overwrite


def test_ctrl_c_waits_for_what_belongs_together():
    done = []
    with pytest.raises(KeyboardInterrupt), launch.uninterrupted():
        signal.raise_signal(signal.SIGINT)
        done.append("the rest of the block")
    assert done and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(ZeroDivisionError), launch.uninterrupted():
        1 / 0  # noqa: B018
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_ignored_ctrl_c_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with launch.uninterrupted():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
