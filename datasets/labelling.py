"""Points corrected by hand: a server of the page in web/ on this computer, which writes labels into a folder of photos.

It listens on 127.0.0.1 alone. Its address has a secret word, so that no other page and no other user can use it. A
request names files of the page, or a photo by its number: no path comes from outside. A label is a `.pts` file beside
its photo that begins with LABEL_HEAD; any other `.pts` file is somebody's own, and stays as it is.
"""

import hmac
import json
import mimetypes
import re
import secrets
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from datasets.browser import LABEL_HEAD, PAGE, check_page
from face68.files import InputError, atomic_path, files_below
from face68.formats import unreadable

_NUMBER = r"-?\d{1,6}\.\d{4}"
_LABEL = re.compile(
    re.escape(LABEL_HEAD) + rf"n_points: 68\n\{{\n(?:(?:{_NUMBER} {_NUMBER}|-1 -1)\n){{68}}\}}\n", re.ASCII
)
PHOTOS = frozenset((".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".avif"))  # that browsers read
LONGEST_BODY = 10_000  # bytes of a label
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json"}


class LabelServer(ThreadingHTTPServer):
    """Serves the page, the photos of a folder and their labels, at `address`.

    Raises:
        InputError: the folder has no photos, the page isn't complete, or the port is taken.
    """

    daemon_threads = True

    def __init__(self, folder: Path, port: int = 0, page: Path = PAGE):
        check_page(page)
        if not folder.is_dir():
            raise InputError(f"{folder}: is no folder; give one of photos")
        self.folder = folder
        self.photos = sorted(path for path in files_below(folder) if path.suffix.lower() in PHOTOS)
        if not self.photos:
            raise InputError(f"{folder}: has no photos; give a folder of JPEG, PNG or WebP files")
        self.pages = {path.relative_to(page).as_posix(): path for path in files_below(page)}
        self.token = secrets.token_urlsafe(16)
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise InputError(f"--port {port}: can't be had ({error.strerror}); give another") from error
        self.origin = f"http://127.0.0.1:{self.server_port}"
        self.address = f"{self.origin}/{self.token}/#folder"

    def handle_error(self, request, client_address) -> None:
        """A browser that goes away is no event."""

    def listing(self) -> list[dict]:
        """Of each photo its name in the folder and its label's text, or None."""
        return [
            {"name": photo.relative_to(self.folder).as_posix(), "label": _text_of(photo.with_suffix(".pts"))}
            for photo in self.photos
        ]

    def write_label(self, number: int, text: str) -> None:
        """Write a photo's label.

        Raises:
            InputError: it is no label, its place is taken by another's, or it can't be written.
        """
        path = self.photos[number].with_suffix(".pts")
        if not _LABEL.fullmatch(text):
            raise InputError(f"{path}: was not written, since that is no label of 68 points")
        if [photo.with_suffix(".pts") for photo in self.photos].count(path) > 1:
            raise InputError(f"{path}: would be the label of several photos; rename one of them")
        before = _text_of(path)
        if before is not None and not before.startswith(LABEL_HEAD):
            raise InputError(f"{path}: is a label by somebody else and stays; move it away first")
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
    except OSError as error:
        raise unreadable(path, error) from error


class _Handler(BaseHTTPRequestHandler):
    server: LabelServer
    timeout = 30  # s without a byte
    server_version, sys_version = "face68", ""

    def do_GET(self) -> None:
        path = self._path()
        if path is None:
            return
        if path == "photos":
            self._answer(200, json.dumps(self.server.listing()).encode(), "application/json")
        elif (number := self._number(path, "photo/")) is not None:
            self._send_file(self.server.photos[number])
        elif page := self.server.pages.get(path or "index.html"):
            self._send_file(page)
        else:
            self._answer(404, b"there is no such page")

    def do_POST(self) -> None:
        path = self._path()
        if path is None:
            return
        length = self.headers.get("Content-Length", "")
        number = self._number(path, "label/")
        if self.headers.get("Origin") != self.server.origin:
            self._answer(403, b"this request comes from another page")
        elif number is None:
            self._answer(404, b"there is no such photo")
        elif not (length.isascii() and length.isdecimal()) or len(length) > 9 or int(length) > LONGEST_BODY:
            self._answer(413, b"a label is shorter")
        else:
            try:
                self.server.write_label(number, self.rfile.read(int(length)).decode("utf-8", "replace"))
                self._answer(200, b"")
            except InputError as error:
                self._answer(409, str(error).encode("utf-8", "replace"))

    def _path(self) -> str | None:
        """What is asked for behind the secret word; without it, or under another host's name, nothing is told."""
        host = self.headers.get("Host", "")
        _, token, path, *_ = [*self.path.partition("?")[0].split("/", 2), "", ""]
        if f"http://{host}" == self.server.origin and hmac.compare_digest(token.encode(), self.server.token.encode()):
            return unquote(path)
        self._answer(403, b"open the address that the command printed")
        return None

    def _number(self, path: str, head: str) -> int | None:
        text = path.removeprefix(head)
        is_one = path.startswith(head) and text.isascii() and text.isdecimal() and len(text) < 8
        return int(text) if is_one and int(text) < len(self.server.photos) else None

    def _send_file(self, path: Path) -> None:
        kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        try:
            self._answer(200, path.read_bytes(), kind)
        except OSError:
            self._answer(404, b"that file is gone")

    def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
        headers |= {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Connection": "close"}
        headers |= {"Cross-Origin-Resource-Policy": "same-origin", "X-Frame-Options": "DENY"}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        """Requests are no events for the terminal."""
