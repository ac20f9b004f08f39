"""Find the 68 facial keypoints of every face in a photo or film: fast, small, and without PyTorch.

from face68 import Landmarker

landmarker = Landmarker()
for face in landmarker("photo.jpg"):
    print(face.box, face.keypoints)  # (x0, y0, x1, y1) and (68, 2), in pixels
"""

from face68.align import align
from face68.files import InputError
from face68.frames import FilmReader
from face68.images import read_image
from face68.landmarker import Landmarker
from face68.landmarks import Face
from face68.network import OnnxNetwork
from face68.tracking import Tracker

__version__ = "1.0.0"
__all__ = ["Face", "FilmReader", "InputError", "Landmarker", "OnnxNetwork", "Tracker", "align", "read_image"]
