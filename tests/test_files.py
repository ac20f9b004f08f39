"""Files come whole or not at all, links stay links and pipes stay pipes; and names can't play with the terminal."""

import os
import stat
import subprocess
import sys
import threading

import pytest
from conftest import REPOSITORY

from face68.files import InputError, as_problem, atomic_path, check_writable, is_stream, printable, remove_leftovers


def write(path, text="new") -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text)


def test_a_file_is_replaced_at_the_end_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    write(path, "old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old" and temporary.suffix == ".txt"
        raise RuntimeError
    assert path.read_text() == "old" and list(path.parent.iterdir()) == [path]
    write(path)
    assert path.read_text() == "new" and list(path.parent.iterdir()) == [path]


def test_threads_that_write_leave_the_umask_alone(tmp_path):
    """A new file has the rights that the umask leaves, whoever else is writing."""
    before = os.umask(0o027)
    try:
        threads = [
            threading.Thread(target=lambda i=i: [write(tmp_path / f"{i}-{j}") for j in range(50)]) for i in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        after = os.umask(before)
    assert after == 0o027
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o640}


@pytest.mark.parametrize("mode", [0o600, 0o444, 0o664, 0o755])
def test_what_is_replaced_hands_on_its_mode_and_nobody_reads_more_meanwhile(tmp_path, mode):
    path, link = tmp_path / "a.txt", tmp_path / "link.txt"
    write(path, "old")
    path.chmod(mode)
    link.symlink_to(path)
    with atomic_path(link) as temporary:
        assert not stat.S_IMODE(temporary.stat().st_mode) & ~(mode | 0o600)
        temporary.write_text("new")
    assert path.read_text() == "new" and stat.S_IMODE(path.stat().st_mode) == mode


def test_a_link_is_followed(tmp_path):
    (tmp_path / "store").mkdir()
    target, link = tmp_path / "store" / "a.txt", tmp_path / "a.txt"
    target.write_text("old")
    link.symlink_to(target)
    write(link)
    assert link.is_symlink() and target.read_text() == "new"
    target.unlink()
    write(link, "again")  # what it names needn't be there yet
    assert link.is_symlink() and target.read_text() == "again"


def test_a_pipe_is_written_to(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert is_stream(fifo)
    reader = subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE)
    write(fifo, "through the pipe")
    assert reader.communicate(timeout=10)[0] == b"through the pipe"
    assert fifo.is_fifo() and list(tmp_path.iterdir()) == [fifo]


@pytest.mark.parametrize(
    ("stream", "redirected"), [("/dev/stdout", False), ("/dev/fd/1", True), ("/proc/self/fd/1", True)]
)
def test_standard_output_is_written_to(tmp_path, stream, redirected):
    """Through a pipe, or into the file that a shell opened, behind what is there already."""
    code = f"""
from face68.files import atomic_path, check_writable
print("first", flush=True)
check_writable({stream!r})
with atomic_path({stream!r}) as path:
    path.write_text("second\\n")
"""
    line = [sys.executable, "-c", code]
    if redirected:
        with (tmp_path / "out").open("w") as out:
            subprocess.run(line, cwd=REPOSITORY, stdout=out, check=True)
        assert (tmp_path / "out").read_text() == "first\nsecond\n"
    else:
        done = subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True, check=True)
        assert done.stdout == "first\nsecond\n"


def test_a_device_stays_one():
    write("/dev/null")
    assert is_stream("/dev/null")


def test_files_folders_and_nothing_are_no_streams(tmp_path):
    (tmp_path / "a").touch()
    for path in (tmp_path, tmp_path / "a", tmp_path / "missing", tmp_path / ("y" * 300)):
        assert not is_stream(path)


def test_what_cannot_be_written_is_refused_before_and_after(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "a.txt", tmp_path / "file" / "deep" / "a.txt", "/proc/nothing/a.txt"):
        for attempt in (check_writable, write):
            with pytest.raises(InputError, match=r"can't be written \(.*\); give another path") as caught:
                attempt(path)
            assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_check_leaves_nothing(tmp_path):
    check_writable(tmp_path / "new" / "folder" / "a.txt")
    assert list(tmp_path.iterdir()) == []


def test_printable_text_is_one_line_and_moves_nothing():
    assert printable("Jürgen Groß 😀 顔.jpg") == "Jürgen Groß 😀 顔.jpg"
    assert printable("a\nb\r\x1b[31m\x9b\u2028\u202e\x00") == r"a\nb\r\x1b[31m\x9b\u2028\u202e\x00"
    assert printable(os.fsdecode(b"caf\xe9.jpg")) == r"caf\udce9.jpg"


def test_whatever_goes_wrong_is_a_line_that_names_the_file():
    known = InputError("a.jpg: is empty; copy it again")
    assert as_problem("a.jpg", known) is known
    line = str(as_problem("a.jpg", ValueError("several\n  lines " + "and more " * 100)))
    assert line.startswith("a.jpg: failed (ValueError: several lines and more") and "\n" not in line and len(line) < 300


def test_what_a_killed_process_left_behind_goes_and_what_is_being_written_stays(tmp_path):
    code = f"""
import os, signal
from face68.files import atomic_path
with atomic_path({str(tmp_path / "killed.jpg")!r}) as path:
    path.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == -9
    (left,) = tmp_path.iterdir()
    for name in (".partial-mine", ".partial-0123456789abcdef-too"):
        (tmp_path / name).touch()
    (tmp_path / ".partial-0123456789abcdef").symlink_to(tmp_path / "nowhere")
    with atomic_path(tmp_path / "a.txt") as temporary:
        assert not left.exists()
        temporary.write_text("still written")
        remove_leftovers(tmp_path)
        assert temporary.read_text() == "still written"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(".partial-0123456789abcdef", ".partial-0123456789abcdef-too", ".partial-mine"),
        "a.txt",
    ]
