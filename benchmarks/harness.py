"""What the attacks share: commands in child processes, and what came of them. POSIX systems only."""

import cli.launch as launch

import contextlib
import importlib
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parent.parent

MEMORY = 2 << 30  # bytes that a command may take
PATIENCE = 120  # s of processor time, after which a command hangs; or five times as long by the clock
LIMITS = {resource.RLIMIT_DATA: 12 << 30, resource.RLIMIT_CPU: PATIENCE}  # memory for the machine's sake
FAULT = "FAULT"


class Outcome(NamedTuple):
    """status: the exit status, negative for a signal, None after a hang; memory: the peak in bytes."""

    status: int | None
    stdout: str
    stderr: str
    seconds: float
    memory: int

    def judged(self, *names: str, done: bool = True) -> str:
        """ "named", "done", or a fault.

        names: the error has to be one line that holds one of them. done: whether exit status 0 is right.
        """
        lines = [line for line in self.stderr.splitlines() if line.strip() and not line.startswith("note: ")]
        explained = all(line.startswith(("error: ", "stopped by ")) for line in lines)
        if names and self.status == 2:
            explained = len(lines) == 1 and any(name in lines[0] for name in names)
        faults = {
            "hangs": self.status in (None, -signal.SIGXCPU),
            f"took {self.memory / 1e9:.1f} GB": self.memory > MEMORY,
            "traceback": "Traceback" in self.stderr or "Exception ignored" in self.stderr,
            "crash": self.status not in (0, 2),
            "unexplained": not explained or (self.status == 2 and not lines) or (self.status == 0 and names and lines),
            "was taken for good": self.status == 0 and not done,
        }
        for fault in (fault for fault, is_one in faults.items() if is_one):
            return f"{FAULT}: {fault}, status {self.status}, {' | '.join(lines[-3:])[-300:]}"
        return "done" if self.status == 0 else "named"


def start(
    folder: Path, command: str | Callable[[], object], *arguments, fresh: bool = False, without: str = "", **options
) -> int:
    """Begin a command in a folder, as a child of this process; its pid.

    command: a module with a `main`, or that function. fresh: in a new Python, as a user begins it, not in one that has
    imported what this process has. without: a package that isn't installed. options: see `_become_child`.
    """
    sys.stdout.flush()
    for name in ("stdout", "stderr"):
        (folder / f"{name}.txt").write_bytes(b"")
    if pid := os.fork():
        return pid
    status = 1
    try:
        _become_child(folder, **options)
        if fresh:
            line = [sys.executable, REPOSITORY / f"{command}.py", *map(str, arguments)]
            os.execv(sys.executable, [os.fsencode(word) for word in line])
        sys.stdout, sys.stderr = (open(number, "w", buffering=1) for number in (1, os.dup(2)))  # noqa: PTH123, SIM115
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # silences C libraries, as cli/launch.py does
        if without:
            sys.modules[without] = None
        if isinstance(command, str):
            sys.argv = [f"{command}.py", *map(str, arguments)]
            command = importlib.import_module(command).main
        launch.run(command)
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _become_child(
    folder: Path,
    limits: dict[int, int] | None = None,
    stdout: int | None = None,
    closed: int | None = None,
    **environment: str | None,
) -> None:
    """Give this process a group, a folder, streams, limits and an environment of its own.

    limits: by the constants of `resource`, beside LIMITS. stdout: a file's number. closed: the number of a stream that
    is. environment: changes; None removes a name.
    """
    os.setpgid(0, 0)
    for number in launch.SIGNALS:
        signal.signal(number, signal.SIG_DFL)  # in a shell's background they are ignored
    os.chdir(folder)
    files = [os.open(f"{name}.txt", os.O_WRONLY) for name in ("stdout", "stderr")]
    for number, file in enumerate((os.open(os.devnull, os.O_RDONLY), stdout or files[0], files[1])):
        os.dup2(file, number)
    if closed is not None:
        os.close(closed)
    for kind, most in (LIMITS | (limits or {})).items():
        resource.setrlimit(kind, (most, most + 1))
    values = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY), "XDG_CACHE_HOME": str(folder / "cache")}
    for name, value in (values | environment).items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


def wait(pid: int, folder: Path, seconds: float = 5 * PATIENCE) -> Outcome:
    """What came of a child; it is killed after some seconds, if it is still there."""
    began = time.monotonic()
    ended, raw, usage = os.wait4(pid, os.WNOHANG)
    while not ended and time.monotonic() - began < seconds:
        time.sleep(0.005)
        ended, raw, usage = os.wait4(pid, os.WNOHANG)
    status = os.waitstatus_to_exitcode(raw) if ended else None
    if not ended:
        kill(pid)
        usage = os.wait4(pid, 0)[2]
    texts = [(folder / f"{name}.txt").read_text(errors="replace") for name in ("stdout", "stderr")]
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Outcome(status, *texts, time.monotonic() - began, peak)


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a child and all that it has started."""
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)  # it may not have come to that yet
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def run(folder: Path, command: str | Callable[[], object], *arguments, **options) -> Outcome:
    return wait(start(folder, command, *arguments, **options), folder)
