"""A page to try it on: python examples/gradio_app.py, after pip install . gradio"""

import gradio
import numpy as np

from face68 import Landmarker
from face68.draw import draw_faces

landmarker = Landmarker()


def mark(image: np.ndarray) -> tuple[np.ndarray, list[dict]]:
    """A photo, (H, W, 3) uint8 RGB, with the points of its faces, and these as in the JSON of predict.py."""
    faces = landmarker(image)
    return draw_faces(image, faces), [face.to_dict() for face in faces]


page = gradio.Interface(mark, gradio.Image(label="Photo"), [gradio.Image(label="Faces"), gradio.JSON()], title="face68")
if __name__ == "__main__":
    page.launch()
