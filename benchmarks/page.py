"""The page in web/, in headless Chromium: its bytes, the time to first points, frames a second of its camera.

It needs playwright and Debian's chromium, or Chrome; nothing is downloaded for it. The tests drive the page by the same
functions.
"""

import base64
import contextlib
import functools
import gzip
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np

from datasets import browser
from datasets.layout import DATA_DIR, SAMPLE_DIR
from face68.files import InputError
from face68.frames import FilmReader
from face68.inputs import demonstration_photo
from face68.landmarker import Landmarker
from face68.network import FAMILY, OnnxNetwork, shipped_network
from training.onnx_export import export_network

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--use-fake-device-for-media-stream",
)
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 120_000  # ms, on a busy machine
FILMED = 10_000  # ms for which the camera runs
PASSES = 30  # of a network, of which the median counts
TIME_PASSES = """async ([networks, count]) => {
  const ort = await import("./runtime/ort.wasm.bundle.min.mjs");
  await import("./network.js"); // which sets the runtime up
  const times = {};
  for (const [name, size] of networks) {
    const file = new Uint8Array(await (await fetch(`networks/${name}.onnx`)).arrayBuffer());
    const session = await ort.InferenceSession.create(file);
    const noise = new Uint8Array(size * size).map((_, i) => (i * 7919) % 251);
    const crops = new ort.Tensor("uint8", noise, [1, 1, size, size]);
    const taken = [];
    for (let i = 0; i < count; i++) {
      const begin = performance.now();
      await session.run({ crops });
      taken.push(performance.now() - begin);
    }
    times[name] = taken.sort((one, other) => one - other)[count >> 1];
  }
  return times;
}"""

FIND_FACES = """async (size) => {
  const { openDetector, openNetwork } = await import("./network.js");
  const { Landmarker } = await import("./landmarker.js");
  const { decode, pixels } = await import("./image.js");
  const networks = await Promise.all([openDetector(), openNetwork(size), openNetwork("fast")]);
  const landmarker = new Landmarker(...networks);
  window.facesOf = async (text) => {
    const content = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const faces = await landmarker.faces(pixels(await decode(new Blob([content]))));
    return faces.map(({ keypoints }) => [...keypoints]);
  };
}"""


def find_program() -> str:
    """Raises InputError: neither Chromium nor Chrome is here."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        raise InputError("chromium: is not here; install it: apt-get install chromium")
    return found


@contextlib.contextmanager
def chromium(program: str, film: Path | None = None) -> Iterator:
    """A context of playwright with a new profile. film: .y4m, what its camera shows.

    Raises:
        InputError: playwright is not here.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise InputError("playwright: is not here; install it: pip install playwright") from error
    flags = [*FLAGS, *([f"--use-file-for-fake-video-capture={film}"] if film else [])]
    with sync_playwright() as playwright, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        launch = playwright.chromium.launch_persistent_context
        context = launch(profile, executable_path=program, headless=True, args=flags)
        context.set_default_timeout(PATIENCE)
        yield context
        context.close()


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder on a plain server of files."""

    class Files(SimpleHTTPRequestHandler):
        def log_message(self, *_) -> None:
            """Requests are no events."""

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def complete_page(folder: Path) -> None:
    """Make a folder a complete copy of the page, beside an empty page, `blank.html`, on which its modules run alone.

    Raises:
        InputError: the runtime is not in web/.
    """
    browser.check_page()
    shutil.copytree(browser.PAGE, folder)
    browser.prepare_page(folder)
    (folder / "blank.html").write_text("<!doctype html>", encoding="utf-8")


def write_y4m(path: Path, frames: Sequence[np.ndarray]) -> None:
    """Frames (H, W, 3) uint8 RGB of even sides as the film of a fake camera."""
    height, width = frames[0].shape[:2]
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F30:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            file.write(b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420).tobytes())


def points_in_browser(context, address: str, photos: Sequence[Path], size: str = "base") -> list[np.ndarray]:
    """The points (N, 68, 2) px that the page's modules find in each photo, by a network of a size."""
    page = context.new_page()
    page.goto(f"{address}blank.html")
    page.evaluate(FIND_FACES, size)
    contents = (base64.b64encode(photo.read_bytes()).decode() for photo in photos)
    found = [np.reshape(page.evaluate("facesOf", content), (-1, 68, 2)) for content in contents]
    page.close()
    return found


def says(page, text: str | re.Pattern) -> str:
    """The page's status, once it holds a text."""
    page.locator("#status", has_text=text).wait_for()
    return page.inner_text("#status")


def measure_page(args) -> dict[str, list[dict]]:
    """The page in web/: bytes that a visitor loads, time to first points, frames a second of one face; int8 and fp32.

    The first points are those of the example photograph with `base`, from the moment when a new browser opens the page;
    the server is on the same machine. The camera shows the drawn film. "points" compares with Python's on photographs.
    """
    program = find_program()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "web")
        complete_page(folder)
        write_y4m(Path(name, "film.y4m"), [frame.image for frame in FilmReader(DATA_DIR / "film.mp4", end=2)])
        for size in FAMILY:
            checkpoint = shipped_network(size).with_suffix(".pt")
            export_network(checkpoint, folder / "networks" / f"{size}_fp32.onnx")
        with served(folder) as address, chromium(program, Path(name, "film.y4m")) as context:
            context.grant_permissions(["camera"])
            loaded, seconds = first_points(context, address)
            films = [filmed(context, address, size) for size in FAMILY]
            passes = timed_passes(context, address)
            points = compare_points(context, address, photographs(args.photos))
        rows = [
            {"file": path, "bytes": len(data), "gzipped": len(gzip.compress(data))} for path, data in loaded.items()
        ]
        rows.append({"file": "all", **{key: sum(row[key] for row in rows) for key in ("bytes", "gzipped")}})
        first = [{"seconds": round(seconds, 2)}]
        return {"loaded": rows, "first points": first, "camera": films, "passes": passes, "points": [points]}


def photographs(folder: Path | None = None) -> list[Path]:
    """16 drawn faces, the two photographs that come with this repository and with matplotlib, and those of a folder."""
    drawn = sorted((SAMPLE_DIR / "test").glob("*.jpg"))
    given = sorted(folder.glob("*.jpg")) if folder else []
    return [*drawn[:: max(1, len(drawn) // 16)][:16], browser.EXAMPLE, demonstration_photo(), *given]


def compare_points(context, address: str, photos: Sequence[Path]) -> dict:
    """How far the points in the browser are from Python's, on photos in which both find as many faces."""
    landmarker, differences, same = Landmarker("base"), [], 0
    for photo, found in zip(photos, points_in_browser(context, address, photos), strict=True):
        faces = landmarker(photo)
        if len(faces) == len(found):
            same += 1
            differences += [
                np.linalg.norm(one - face.keypoints, axis=1) for one, face in zip(found, faces, strict=True)
            ]
    worst = [one.max() for one in differences]
    figures = {"mean px": np.mean(differences), "worst px, 90%": np.quantile(worst, 0.9), "worst px": max(worst)}
    counts = {"photos": len(photos), "same faces in": same, "faces": len(differences)}
    return counts | {name: round(float(value), 2) for name, value in figures.items()}


def first_points(context, address: str) -> tuple[dict[str, bytes], float]:
    """What is loaded, by name, and the seconds from opening the page to the points of the example."""
    page, loaded = context.new_page(), {}
    page.on("response", lambda response: loaded.update({response.url.removeprefix(address): response.body}))
    page.goto(address)
    says(page, "Ready")
    contents = {name or "index.html": body() for name, body in loaded.items()}
    page.click("#example")
    says(page, re.compile(r" ms with "))
    seconds = page.evaluate("performance.now()") / 1000
    page.close()
    return contents, seconds


def filmed(context, address: str, size: str) -> dict:
    """Frames a second and ms a frame of the camera with a network."""
    page = context.new_page()
    page.goto(address)
    page.select_option("#network", size)
    says(page, "Ready")
    page.click("#camera")
    says(page, "frames a second")
    page.wait_for_timeout(FILMED)
    rate, time = re.findall(r"(\d+) frames a second · (\d+) ms", page.inner_text("#status"))[0]
    page.close()
    return {"network": size, "frames a second": int(rate), "ms": float(time)}


def timed_passes(context, address: str) -> list[dict]:
    """ms of one pass over one face, in 8 bits and in fp32."""
    page = context.new_page()
    page.goto(f"{address}blank.html")
    sizes = {size: OnnxNetwork(shipped_network(size)).policy.size for size in FAMILY}
    names = [(f"{size}{kind}", side) for size, side in sizes.items() for kind in ("", "_fp32")]
    times = page.evaluate(TIME_PASSES, [names, PASSES])
    page.close()
    return [{"network": size, "ms_int8": times[size], "ms_fp32": times[f"{size}_fp32"]} for size in FAMILY]
