"""How every command begins and ends. It is imported first, so that signals are handled during the other imports too.

Where Python runs a command of this repository, the process belongs to it: Ctrl-C, SIGTERM and SIGHUP (the terminal was
closed) end it with one line, standard streams that were closed lead nowhere, and the C library libtiff doesn't write to
stderr, since the line of a damaged photo says enough. A program that imports a command keeps its signals and streams.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator

SIGNALS = {one: one.name for one in signal.Signals if one.name in ("SIGTERM", "SIGHUP")} | {signal.SIGINT: "Ctrl-C"}
STOPPED = 130  # the exit status after any of them
AGAIN = 1.0  # s, in which a second signal counts as the first: a process group and who started it both pass it on


def run(main: Callable[[], int | None]) -> None:
    """Run a command's `main` and exit, see `face68.program.run_program`; a first signal lets it tidy up."""
    from face68.program import run_program  # here, because this file is imported before all others

    on_signals(_interrupt)
    try:
        run_program(main)
    except SystemExit as end:
        if end.code == STOPPED:  # Python would wait for threads, and one may read a pipe that nobody writes
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            os._exit(STOPPED)
        raise
    finally:
        on_signals(end_at_once)  # nothing is left to tidy up


def on_signals(act: Callable[[int], None], patience: float = 0.0) -> None:
    """Call `act` with the number of each signal that comes `patience` seconds from now or later. Signals that are
    ignored, as in a shell's background and under nohup, stay ignored.
    """
    begin = time.monotonic() + patience

    def handle(number: int, _) -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # no file, as under pytest
                _leave_closed_terminal(stream.fileno())
        if time.monotonic() >= begin:
            act(number)

    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handle)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay signals to the end of the block, so that what belongs together is written together. Main thread only."""
    received, before = [], {number: signal.getsignal(number) for number in SIGNALS}
    on_signals(received.append)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in received[:1]:
        signal.raise_signal(number)


def _interrupt(number: int) -> None:
    on_signals(end_at_once, AGAIN)
    raise KeyboardInterrupt(SIGNALS[number])


def end_at_once(number: int) -> None:
    """Exit without tidying up: at a second signal, and during imports, when nothing has begun yet."""
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), f"stopped by {SIGNALS[number]}\n".encode())
    os._exit(STOPPED)


def _leave_closed_terminal(descriptor: int) -> None:
    """Lead a stream nowhere if its terminal was closed: an error at each line would stop the tidying up."""
    try:
        os.write(descriptor, b"")
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _set_up() -> None:
    # Pillow takes memory in blocks: of its own size, 16 MB, from a heap of each thread, which keeps them.
    os.environ.setdefault("PILLOW_BLOCK_SIZE", "64m")
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed: the next file that is opened, a result, would get this number
            os.open(os.devnull, os.O_RDWR)
    stderr = os.dup(2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where C libraries write; Python writes to the copy
    sys.stderr = os.fdopen(stderr, "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    on_signals(end_at_once)


def _is_command(program: str | None) -> bool:
    """Whether a file lies in this repository, or in a package of it, which `python -m benchmarks` runs."""
    file, folder = map(os.path.abspath, (__file__, os.path.dirname(program or "/")))  # noqa: PTH120
    return os.path.dirname(os.path.dirname(file)) in (folder, os.path.dirname(folder))  # noqa: PTH120 (0.02 s less)


if _is_command(getattr(sys.modules["__main__"], "__file__", None)):
    _set_up()
