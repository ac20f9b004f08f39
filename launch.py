"""How every command begins and ends. It is imported first, so that the time of the other imports is under its care too.

Where the file that Python runs is a command, the process is its own and is set up as that: Ctrl-C and SIGTERM end it in
one line, streams that were closed for it lead nowhere, and what C libraries (libtiff, FFmpeg) write to stderr by
themselves doesn't appear, for what matters of it is in a line of ours. Where others import a command, nothing is set.
"""

import os
import signal
import sys
from collections.abc import Callable

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOPPED = 130  # the exit status, of both


def run(main: Callable[[], int | None]) -> None:
    """Run a command's `main` and exit, see `face68.command.arguments.run`; Ctrl-C and SIGTERM let it tidy up first."""
    from face68.command import arguments  # here, because all else is to be imported behind this file

    _on_signals(_interrupt)
    try:
        arguments.run(main)
    finally:
        _on_signals(signal.SIG_DFL)  # nothing is left to tidy up


def _on_signals(handler) -> None:
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as it is for what a shell runs in the background
            signal.signal(number, handler)


def _interrupt(number: int, _) -> None:
    raise KeyboardInterrupt(_name(number))


def _end_at_once(number: int, _) -> None:
    """While a command is imported, nothing is begun that would have to be ended well."""
    os.write(sys.stderr.fileno(), f"stopped by {_name(number)}\n".encode())
    os._exit(STOPPED)


def _name(number: int) -> str:
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


def _set_up() -> None:
    # Pillow's pixels lie in blocks. Those of its own size, 16 MB, go to a heap of each thread, which keeps them.
    os.environ.setdefault("PILLOW_BLOCK_SIZE", "64m")
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed: the next file to be opened, a user's result, would get its number
            os.open(os.devnull, os.O_RDWR)
    ours = os.dup(2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    sys.stderr = os.fdopen(ours, "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    _on_signals(_end_at_once)


def _is_run(folder: str) -> bool:
    """Whether the file that Python runs lies in a folder."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    return file is not None and os.path.dirname(os.path.abspath(file)) == folder  # noqa: PTH100, PTH120 (0.02 s less)


if _is_run(os.path.dirname(os.path.abspath(__file__))):  # noqa: PTH100, PTH120
    _set_up()
