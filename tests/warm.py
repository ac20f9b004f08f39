"""Commands as processes that have imported the slow libraries already: 5 to 8 s of processor time less for each.

A server, a Python that has imported LIBRARIES and computes in one thread, forks itself for every command, before any
other thread starts. The command runs as `python SCRIPT …` or `python -m MODULE …` does: in a process of its own, in a
new session, with its folder, environment and streams; its exit status and the signals that it gets are real. On other
systems than Linux a plain Python runs it.
"""

import contextlib
import importlib
import json
import os
import runpy
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

# Not onnxruntime, which starts a thread: a fork has none, and would end with "terminate called".
LIBRARIES = ("numpy", "pandas", "cv2", "tqdm", "matplotlib.figure", "matplotlib.backends.backend_agg")
LIBRARIES += ("torch", "torch.distributed", "torchvision.transforms", "torch._dynamo")  # the last for optimizers
NUMBER = struct.Struct("q")  # how the server tells a process id and an exit status


class Child:
    """A command that the server runs, with the part of subprocess.Popen that the tests use."""

    def __init__(self, connection: socket.socket):
        self.connection, self.returncode = connection, None
        self.pid = self._receive()

    def _receive(self) -> int:
        return NUMBER.unpack(self.connection.recv(NUMBER.size, socket.MSG_WAITALL))[0]

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, negative after a signal. Raises TimeoutError."""
        if self.returncode is None:
            self.connection.settimeout(timeout)
            self.returncode = self._receive()
        return self.returncode

    def poll(self) -> int | None:
        with contextlib.suppress(TimeoutError, BlockingIOError):
            return self.wait(0)
        return None


class Server:
    def __init__(self):
        self.process = self.socket = None  # of the server, once a command has been asked for

    def start(self, line: Sequence, folder: Path, cwd: Path, **environment: str) -> Child | subprocess.Popen:
        """Start `python LINE` in `cwd`; what it prints goes to stdout.txt and stderr.txt in `folder`."""
        line, environment = list(map(str, line)), os.environ | environment
        with (folder / "stdout.txt").open("wb") as stdout, (folder / "stderr.txt").open("wb") as stderr:
            if sys.platform != "linux":  # elsewhere there is no fork, or libraries don't bear it
                line = [sys.executable, *line]
                return subprocess.Popen(line, cwd=cwd, env=environment, stdout=stdout, stderr=stderr)
            if self.socket is None:
                self._begin()
            connection, theirs = socket.socketpair()
            with theirs:
                socket.send_fds(self.socket, [b"."], [theirs.fileno(), stdout.fileno(), stderr.fileno()])
        connection.sendall(json.dumps([line, str(cwd), environment]).encode())
        connection.shutdown(socket.SHUT_WR)
        return Child(connection)

    def _begin(self) -> None:
        self.socket, theirs = socket.socketpair()
        with theirs:
            one_thread, line = os.environ | {"OMP_NUM_THREADS": "1"}, [sys.executable, __file__]
            self.process = subprocess.Popen(line, env=one_thread, stdin=theirs, start_new_session=True)

    def run(self, line: Sequence, cwd: Path, timeout: float = 600, **environment: str) -> subprocess.CompletedProcess:
        with tempfile.TemporaryDirectory() as folder:
            status = self.start(line, Path(folder), cwd, **environment).wait(timeout)
            texts = [Path(folder, f"{name}.txt").read_text(encoding="utf-8") for name in ("stdout", "stderr")]
        return subprocess.CompletedProcess(line, status, *texts)

    def close(self) -> None:
        """The server ends, as nobody can ask it any more."""
        if self.socket is not None:
            self.socket.close()
            self.process.wait()


def serve() -> None:
    """Fork for each command until the tests end. Returns in the child, once the command has ended."""
    server = socket.socket(fileno=os.dup(0))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait for a command
    while descriptors := socket.recv_fds(server, 1, 3)[1]:
        if os.fork() == 0:
            server.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return run(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def run(connection: int, stdout: int, stderr: int) -> None:
    with socket.socket(fileno=connection) as client:
        with client.makefile("rb") as file:
            line, cwd, environment = json.load(file)
        if pid := os.fork():
            for descriptor in (stdout, stderr):
                os.close(descriptor)
            client.sendall(NUMBER.pack(pid))
            with contextlib.suppress(OSError):  # the test may have ended
                client.sendall(NUMBER.pack(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
            os._exit(0)
    os.setsid()
    for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), stdout, stderr)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    added = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path not in ("", *sys.path)]
    if line[0] == "-m":
        sys.argv, sys.path[:1] = line[1:], [cwd, *added]
        runpy.run_module(line[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[:1] = line, [str(Path(line[0]).resolve().parent), *added]
        runpy.run_path(line[0], run_name="__main__")


if __name__ == "__main__":
    for name in LIBRARIES:
        importlib.import_module(name)
    serve()
