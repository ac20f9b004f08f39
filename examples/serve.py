"""A service: POST a photo, get its faces as JSON, or the photo with their points.

    pip install . fastapi uvicorn
    python examples/serve.py --workers 2            # each process has a network, and one photo at a time
    curl --data-binary @photo.jpg http://127.0.0.1:8000/faces
    curl --data-binary @photo.jpg http://127.0.0.1:8000/picture > marked.jpg
    curl http://127.0.0.1:8000/health

A photo is the body of a request, kept in memory. Status 400 says why it can't be read; 413: it has over MAX_BYTES; 408:
it takes longer than SENDING to come; 503: its turn takes longer than WAITING, or over MAX_REQUESTS are there at once.
"""

import asyncio
import contextlib
import io
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from PIL import Image
from starlette.requests import ClientDisconnect

from face68 import InputError, Landmarker, read_image
from face68.draw import draw_faces
from face68.program import parser, positive_int, set_up_pillow

MAX_BYTES, MAX_PIXELS, MAX_REQUESTS, SENDING, WAITING = 20_000_000, 50_000_000, 64, 10.0, 30.0  # the last two in s


@contextlib.asynccontextmanager
async def warm(app: FastAPI):
    set_up_pillow()
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # it refuses more than twice that
    app.state.landmarker = Landmarker(os.environ.get("FACE68_NETWORK", "large"))
    with ThreadPoolExecutor(1) as app.state.turns:
        yield


app = FastAPI(title="face68", lifespan=warm)


def work(body: bytes, form: str) -> Response | dict:
    image = read_image(body, "the photo")
    faces = app.state.landmarker(image)
    if form == "faces":
        return {"width": image.shape[1], "height": image.shape[0], "faces": [face.to_dict() for face in faces]}
    Image.fromarray(draw_faces(image, faces)).save(file := io.BytesIO(), "JPEG", quality=92)
    return Response(file.getvalue(), media_type="image/jpeg")


@app.get("/health")
async def health() -> dict:
    return {"status": "ok", "network": app.state.landmarker.network.path.name}


@app.post("/{form}", response_model=None)
async def answer(request: Request, form: Literal["faces", "picture"]) -> Response | dict:
    if int(request.headers.get("content-length", MAX_BYTES + 1)) > MAX_BYTES:
        raise HTTPException(413, f"the photo has more than {MAX_BYTES:,} bytes, or doesn't say how many; scale it down")
    late = HTTPException(408, f"the photo takes longer than {SENDING:g} s; scale it down")
    try:
        body = await asyncio.wait_for(request.body(), SENDING)
        late = HTTPException(503, "busy; try again later")
        turn = asyncio.get_running_loop().run_in_executor(app.state.turns, work, body, form)
        return await asyncio.wait_for(turn, WAITING)  # a turn that has not begun is given up
    except asyncio.TimeoutError:
        raise late from None
    except (InputError, ClientDisconnect) as error:
        raise HTTPException(400, str(error)) from None


if __name__ == "__main__":
    p = parser(__doc__)
    p.add_argument("--host", default="127.0.0.1", help="0.0.0.0 for all that can reach this machine")
    p.add_argument("--port", type=positive_int, default=8000)
    p.add_argument("--workers", type=positive_int, default=1, help="processes")
    uvicorn.run("serve:app", limit_concurrency=MAX_REQUESTS, log_level="warning", **vars(p.parse_args()))
