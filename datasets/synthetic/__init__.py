"""Pictures of invented people with exact 68-point labels, at any pose and expression.

    person, video = random_person(rng), random_video(rng)  # rng: numpy.random.default_rng(seed)
    for index, yaw in enumerate(range(-30, 31, 5)):
        image, labels = draw(person, video, Frame(yaw=yaw), index)  # (H, W, 3) uint8 RGB, (68, 2) float64 px

Nothing here is a photograph. A face is a small 3D model, described once and drawn as often as one likes:

1. `head.neutral_points` places the 68 points on the face as seen from the front, from a person's shape (width of the
   jaw, size of the eyes, …), `head.with_expression` moves them (smile, open mouth, closed eyes, raised brows).
2. `head.HeadShape` turns them into a surface. Seen from above, each horizontal slice of the head is an ellipse; the jaw
   points are the ellipses' ends. On the front of it lies a height map: nose, brow ridge, eye sockets, lips.
3. `paint` puts the colours (brows, eyes, lips, wrinkles, beard) on a map with the same x and y as the height map.
4. Ears, neck, shoulders and glasses (`parts`) and `hair` are further surfaces. Each is a grid of 3D points: turned by
   the pose, shaded by one lamp, and splatted into the picture, nearest last, so that near parts cover far ones
   (`surfaces`). `scene` puts it all before a background.
5. The labels are the 3D positions of the same 68 points through the same `pose` and camera. Only the jaw needs
   thought: on the side that turns away, annotators mark the visible outline, so a jaw point slides along its slice
   to where the slice reaches farthest out (`HeadShape.landmarks`).

`sample` draws the embedded sample, 250 such pictures: `python prepare.py sample`. `films` draws films of such people,
whose motion is known: `python prepare.py film NAME`.

Units of the model: 1 is the distance of the outer eye corners; x to the right of the picture, y down, z towards the
camera; the origin lies between the eyes. Labels are in pixels, 0-based, pixel centres at integers. What is drawn
depends on what it is drawn from alone, and not on the number of threads.
"""

from datasets.synthetic.people import Frame, Person, Video, random_frame, random_person, random_video
from datasets.synthetic.pose import face_labels
from datasets.synthetic.scene import draw

__all__ = ["Frame", "Person", "Video", "draw", "face_labels", "random_frame", "random_person", "random_video"]
