"""The service of examples/serve.py answers real clients, good requests and bad ones, under load and slow."""

import http.client
import io
import json
import socket
import time

import numpy as np
import pytest
from conftest import REPOSITORY, SHIPPED, encoded
from PIL import Image

from benchmarks.service import ask, load, memory_of, served
from face68.inputs import demonstration_photo

for package in ("fastapi", "uvicorn"):
    pytest.importorskip(package)


@pytest.fixture(scope="module")
def service():
    """Its port and its pid."""
    with served(SHIPPED) as running:
        yield running


@pytest.fixture(scope="module")
def photo():
    return demonstration_photo().read_bytes()


def test_it_answers_with_the_faces_that_the_library_finds(service, photo, landmarker, hopper):
    status, content = ask(service[0], "POST", "/faces", photo)
    found, (face,) = json.loads(content), landmarker(hopper)
    assert status == 200 and (found["width"], found["height"]) == (512, 600)
    np.testing.assert_allclose(found["faces"][0]["keypoints"], face.keypoints, atol=0.01)
    status, content = ask(service[0], "POST", "/faces", encoded(Image.new("RGB", (64, 64)), "PNG"))
    assert status == 200 and json.loads(content)["faces"] == []


def test_it_answers_with_a_picture(service, photo, hopper):
    status, content = ask(service[0], "POST", "/picture", photo)
    picture = np.array(Image.open(io.BytesIO(content)))
    assert status == 200 and picture.shape == hopper.shape
    changed = np.abs(picture.astype(int) - hopper).max(axis=2) > 60
    assert 200 < changed.sum() < 0.1 * changed.size


def test_it_is_healthy_and_says_why_a_photo_is_refused(service):
    assert json.loads(ask(service[0], "GET", "/health")[1]) == {"status": "ok", "network": SHIPPED.name}
    status, content = ask(service[0], "POST", "/faces", b"text")
    assert status == 400 and json.loads(content)["detail"].startswith("the photo: is not an image; give")
    status, content = ask(service[0], "POST", "/faces", encoded(Image.new("1", (8000, 8000)), "PNG"))
    assert status == 400 and "50 megapixels" in json.loads(content)["detail"]
    assert ask(service[0], "POST", "/eyes", b"x")[0] == 422 and ask(service[0], "GET", "/")[0] == 404


def test_more_bytes_than_the_limit_are_not_even_read(service):
    connection = http.client.HTTPConnection("127.0.0.1", service[0], timeout=60)
    connection.putrequest("POST", "/faces")
    connection.putheader("Content-Length", "20000001")
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_who_sends_slowly_or_goes_away_holds_nobody_up(service, photo):
    port = service[0]
    slow, gone = (socket.create_connection(("127.0.0.1", port)) for _ in range(2))
    for one in (slow, gone):
        one.sendall(b"POST /faces HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
    gone.close()
    assert ask(port, "POST", "/faces", photo)[0] == 200
    began = time.monotonic()
    slow.settimeout(60)
    assert slow.recv(100).startswith(b"HTTP/1.1 408") and time.monotonic() - began < 30
    slow.close()


def test_under_load_nothing_is_lost_and_memory_stays(service, photo):
    port, pid = service
    load(port, photo, 20, 16)
    early = memory_of(pid)
    answers = load(port, photo, 100, 16)
    assert len(answers) == 100 and all(answer.right for answer in answers)
    assert not memory_of(pid) > early + 40, "MB; elsewhere than on Linux it is unknown"
    assert ask(port, "GET", "/health")[0] == 200


def test_the_page_marks_a_photo(hopper, monkeypatch):
    pytest.importorskip("gradio")
    monkeypatch.syspath_prepend(REPOSITORY / "examples")
    import gradio_app

    picture, faces = gradio_app.mark(hopper)
    assert picture.shape == hopper.shape and len(faces) == 1
