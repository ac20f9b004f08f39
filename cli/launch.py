"""How every command begins and ends. It is imported first, so that the time of the other imports is under its care too.

Where the file that Python runs is a command, the process is its own and is set up as that: Ctrl-C, SIGTERM and SIGHUP
(the terminal was closed) end it in one line, streams that were closed for it lead nowhere, and what C libraries
(libtiff, OpenCV) write to stderr by themselves doesn't appear, for what matters of it is in a line of ours. Where
others import a command, nothing is set.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator

SIGNALS = [number for number in signal.Signals if number.name in ("SIGINT", "SIGTERM", "SIGHUP")]
STOPPED = 130  # the exit status, of all
AGAIN = 1.0  # s in which a signal is the same one: a group gets it, and each process of it from who started it


def run(main: Callable[[], int | None]) -> None:
    """Run a command's `main` and exit, see `face68.program.run_program`; a first signal lets it tidy up."""
    from face68.program import run_program  # here, because all else is to be imported behind this file

    on_signals(_interrupt)
    try:
        run_program(main)
    except SystemExit as end:
        if end.code == STOPPED:  # a thread may wait for ever, for a pipe that nobody writes, and Python would for it
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            os._exit(STOPPED)
        raise
    finally:
        on_signals(end_at_once)  # nothing is left to tidy up


def on_signals(act: Callable[[int], None], patience: float = 0.0) -> None:
    """Have the signals call `act` with their number, after so many seconds; but for those that are ignored, as in a
    shell's background and under nohup.
    """
    begin = time.monotonic() + patience

    def handle(number: int, _) -> None:
        _leave_closed_terminal()
        if time.monotonic() >= begin:
            act(number)

    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handle)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """The signals wait for the end of the block: what belongs together is written together. Main thread only."""
    asked, before = [], {number: signal.getsignal(number) for number in SIGNALS}
    on_signals(asked.append)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in asked[:1]:
        signal.raise_signal(number)


def _interrupt(number: int) -> None:
    on_signals(end_at_once, AGAIN)
    raise KeyboardInterrupt(_name(number))


def end_at_once(number: int) -> None:
    """For a second signal, and while a command is imported: nothing is begun then that would have to be ended well."""
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), f"stopped by {_name(number)}\n".encode())
    os._exit(STOPPED)


def _leave_closed_terminal() -> None:
    """What is written to one is an error, which would end what a signal asked to tidy up: it leads nowhere then."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # no file
            number = stream.fileno()
            try:
                os.write(number, b"")
            except OSError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), number)


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
    on_signals(end_at_once)


def _is_run(folder: str) -> bool:
    """Whether what Python runs is a file of a folder, or, by `python -m`, a module of a package there."""
    main = sys.modules["__main__"]
    place = getattr(main, "__file__", None)
    if place is None:
        return False
    spec = getattr(main, "__spec__", None)  # of `python -m` alone
    for _ in range(1 + (spec.name.count(".") if spec else 0)):
        place = os.path.dirname(os.path.abspath(place))  # noqa: PTH100, PTH120 (0.02 s less)
    return place == folder


if _is_run(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))):  # noqa: PTH100, PTH120
    _set_up()
