"""A server on 127.0.0.1 for downloads, which fails when it is told to; nothing leaves the machine."""

import hashlib
import io
import tarfile
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """Serves `archive` at /archive and `files` at /raw/…; `faults` maps a path to statuses to give first."""

    def __init__(self, files: dict[str, bytes]):
        self.files, self.archive = dict(files), make_archive(files)
        self.cut_archive_at = None  # bytes after which the connection breaks off
        self.faults: dict[str, list[int]] = {}
        self.requests: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.answer(self)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, handler):
        path = urllib.parse.unquote(handler.path)
        self.requests.append(path)
        if self.faults.get(path):
            handler.send_response(self.faults[path].pop(0))
            handler.send_header("Retry-After", "0")
            handler.end_headers()
            return
        body = self.archive if path == "/archive" else self.files.get(path.removeprefix("/raw/"))
        if body is None:
            handler.send_error(404)
            return
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: self.cut_archive_at] if path == "/archive" else body)

    def count(self, prefix):
        return sum(path.startswith(prefix) for path in self.requests)

    def close(self):
        self.http.shutdown()
        self.http.server_close()


def make_archive(files, extra=(), folder="repository-6e55adc"):
    """A tar.gz as GitHub makes them, all in one folder; `extra` are TarInfos with their content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member, content in extra:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def digest(content):
    return hashlib.sha256(content).hexdigest()
