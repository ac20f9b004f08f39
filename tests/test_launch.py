"""How commands begin and end, as processes of their own."""

import cli.launch as launch

import fcntl
import os
import signal
import subprocess
import sys
import termios
import time

import pytest
from conftest import REPOSITORY

# A command whose imports take long: it says so, and then waits.
IMPORTS = "import cli.launch as launch\nprint('importing', flush=True)\nimport time\ntime.sleep(30)\n"
MAIN = """
import cli.launch as launch
import time
def main():
    try:
        print("running", flush=True)
        time.sleep(30)
    finally:
        print("tidied", flush=True)
launch.run(main)
"""


def copy_launch(folder):
    (folder / "cli").mkdir()
    for name in ("__init__.py", "launch.py"):
        (folder / "cli" / name).write_text((REPOSITORY / "cli" / name).read_text())


@pytest.fixture
def begin(tmp_path):
    """Start a command of this text beside a copy of cli/launch.py."""
    copy_launch(tmp_path)

    def start(text: str, **options) -> subprocess.Popen:
        (tmp_path / "command.py").write_text(text)
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
        return subprocess.Popen([sys.executable, "command.py"], cwd=tmp_path, env=environment, **options)

    return start


@pytest.mark.parametrize(
    ("text", "printed", "number", "name"),
    [
        (IMPORTS, "", signal.SIGINT, "Ctrl-C"),
        (IMPORTS, "", signal.SIGHUP, "SIGHUP"),
        (MAIN, "tidied\n", signal.SIGINT, "Ctrl-C"),
        (MAIN, "tidied\n", signal.SIGTERM, "SIGTERM"),
    ],
)
def test_an_interruption_is_a_line_from_the_first_import_on(begin, number, name, text, printed):
    process = begin(text)
    process.stdout.readline()
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (130, printed, f"stopped by {name}\n")


@pytest.fixture
def handlers():
    """The signals' handlers come back after the test."""
    before = {number: signal.getsignal(number) for number in launch.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", launch.SIGNALS)
def test_a_signal_waits_for_the_end_of_what_belongs_together(handlers, number):
    events = []
    launch.on_signals(events.append)
    with launch.uninterrupted():
        signal.raise_signal(number)
        events.append("the rest of the block")
    assert events == ["the rest of the block", number]
    with pytest.raises(ZeroDivisionError), launch.uninterrupted():
        1 / 0  # noqa: B018
    signal.raise_signal(number)
    assert events[2:] == [number], "the handlers are as before"


@pytest.mark.parametrize("number", launch.SIGNALS)
def test_a_signal_that_is_ignored_in_the_background_and_under_nohup_stays_so(handlers, number):
    signal.signal(number, signal.SIG_IGN)
    events = []
    launch.on_signals(events.append)
    with launch.uninterrupted():
        signal.raise_signal(number)
    assert events == [] and signal.getsignal(number) is signal.SIG_IGN


def test_libraries_of_c_don_t_write_on_stderr_and_python_does(begin):
    text = "import os, sys, cli.launch\nos.write(2, b'chatter\\n')\nprint('ours', file=sys.stderr)\n"
    assert begin(text).communicate(timeout=30) == ("", "ours\n")


def test_a_module_of_a_package_is_a_command_too(tmp_path):
    """As `python -m benchmarks` runs it; of a package in another folder nothing is set up."""
    copy_launch(tmp_path)
    for folder, heard in ((tmp_path, ""), (tmp_path / "elsewhere", "chatter\n")):
        (folder / "room").mkdir(parents=True)
        (folder / "room" / "__main__.py").write_text("import cli.launch, os\nos.write(2, b'chatter\\n')\n")
        environment = os.environ | {"PYTHONPATH": str(tmp_path)}
        line = [sys.executable, "-m", "room"]
        done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, heard)


def test_who_imports_a_command_keeps_its_signals_and_streams():
    code = "import os, signal, sys; a = sys.stderr, signal.getsignal(2); import cli.launch; os.write(2, b'heard')\n"
    code += "assert a == (sys.stderr, signal.getsignal(2))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "heard")


def test_a_thread_that_waits_for_ever_holds_nothing_up(begin, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    text = """
import cli.launch as launch, threading, time
def main():
    threading.Thread(target=lambda: open("pipe").read()).start()
    print("running", flush=True)
    time.sleep(30)
launch.run(main)
"""
    process = begin(text)
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, "stopped by SIGTERM\n")


def test_the_same_signal_comes_again_and_another_one_ends_at_once(begin):
    """Who starts a group may hand on what the whole group has got; the tidying goes on through that."""
    text = MAIN.replace('print("tidied", flush=True)', 'print("tidying", flush=True); time.sleep(30)')
    process = begin(text)
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "tidying\n"
    process.send_signal(signal.SIGTERM)
    time.sleep(1.2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, "stopped by SIGTERM\n")


def test_a_terminal_that_is_closed_keeps_nothing_from_being_tidied_up(begin, tmp_path):
    text = """
import cli.launch as launch, sys, time
def main():
    try:
        print("running", flush=True)
        time.sleep(30)
    finally:
        print("gone", flush=True)
        print("gone", file=sys.stderr)
        open("tidied", "w").close()
launch.run(main)
"""
    ours, theirs = os.openpty()
    terminal = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": True}
    process = begin(text, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY), **terminal)
    os.close(theirs)
    while b"\n" not in os.read(ours, 99):  # "running"
        pass
    os.close(ours)
    assert process.wait(timeout=20) == 130 and (tmp_path / "tidied").exists()


@pytest.mark.parametrize("stream", [0, 1, 2])
def test_a_closed_stream_gets_no_result_s_number(begin, tmp_path, stream):
    """What a command prints never lands in a file that it opens."""
    text = "from cli import launch\ndef main():\n    file = open('result', 'w')\n    print('said')\nlaunch.run(main)\n"
    process = begin(text, preexec_fn=lambda: os.close(stream))
    process.communicate(timeout=30)
    assert process.returncode == 0 and (tmp_path / "result").read_text() == ""


def test_no_room_for_what_is_printed_is_a_line(begin):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        process = begin("import cli.launch as launch\nlaunch.run(lambda: print('line'))\n", stdout=full)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert errors == "error: standard output: can't be written (No space left on device); give another path\n"
