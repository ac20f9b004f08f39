"""What the prediction command writes: pictures and points of each photo as it comes, and files about all of them."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from cli.outputs import check_replaceable, pts_of_face
from face68.draw import contact_sheet
from face68.files import InputError, as_problem
from face68.formats import ImageResult, append_jsonl, read_jsonl, write_jsonl, write_pts
from face68.images import reduced, write_image
from face68.landmarks import Face
from face68.photos import Photo

PAGE, COLUMNS, THUMBNAIL = 48, 8, 224  # photos on a contact sheet, in a row of it, and pixels of each


class Results:
    """Writes the results of a run: pictures and points as photos come, the rest at `close`.

    draw: (image, faces) → the picture; takes `numbers=False` for thumbnails, which numbers would cover.
    pictures, pts: the file of each source; sources without one are left out.
    sheets: for each source the contact sheet that begins with it, if one does.
    summaries: files about all photos, each with what writes it.
    jsonl: a file that gets a line as soon as a photo is done.
    earlier: what `jsonl` has of a run that this one goes on with; it belongs into the summaries too.
    options: what decides on the faces, see `ImageResult`.
    overwrite: see `places.check_replaceable`, for what could not be planned.
    """

    def __init__(
        self,
        draw: Callable[..., np.ndarray],
        *,
        pictures: dict[str, Path],
        pts: dict[str, Path],
        sheets: dict[str, Path],
        summaries: dict[Path, Callable[[Path, Iterable[ImageResult]], None]],
        jsonl: Path | None = None,
        earlier: Sequence[ImageResult] = (),
        options: dict | None = None,
        overwrite: bool = False,
    ):
        self.draw, self.pictures, self.pts, self.sheets = draw, pictures, pts, sheets
        self.summaries, self.jsonl, self.earlier, self.overwrite = summaries, jsonl, earlier, overwrite
        self.options = options
        self.results = list(earlier)
        self.jsonl_is_begun = False
        self.files: list[Path] = []  # about all photos that are written, known after `close`
        self.page: list[tuple[str, np.ndarray]] = []  # sources, and their thumbnails, at most a sheet of them

    def write(self, photo: Photo) -> Photo:
        """Draw the photo, which gives up its image for that, and write its own files; what goes wrong is its problem.
        From any thread.
        """
        if photo.problem is None:
            try:
                self._write(photo)
            except Exception as error:
                photo.problem = as_problem(photo.source, error)
        return photo

    def _write(self, photo: Photo) -> None:
        if self.sheets:
            small, faces = thumbnail(photo.image, photo.faces)
            photo.thumbnail = self.draw(small, faces, numbers=False)
        if photo.source in self.pictures:
            photo.picture = self.draw(photo.image, photo.faces)
        photo.image = None  # of 250 megapixels it takes as much memory as the picture, and Pillow more to encode that
        if photo.source in self.pictures:
            write_image(self.pictures[photo.source], photo.picture)
        if photo.source in self.pts:
            places = [pts_of_face(self.pts[photo.source], i) for i in range(1, len(photo.faces) + 1)]
            for place in places:
                check_replaceable(place, self.overwrite)
            for place, face in zip(places, photo.faces, strict=True):
                write_pts(place, face.keypoints)

    def add(self, photo: Photo) -> list[InputError]:
        """Take a written photo into the files about all. Returns what of these can't be written."""
        result = ImageResult(photo.source, *photo.size, photo.faces, options=self.options)
        problems = []
        if self.jsonl:
            problems += attempt(self.jsonl, self._append, result)
            if problems:
                self.jsonl = None  # a line may be cut off now, and behind it none would be read
        if self.summaries:
            self.results.append(result)
        if self.sheets:
            self.page.append((photo.source, photo.thumbnail))
            if len(self.page) == PAGE:
                problems += self._write_page()
        return problems

    def close(self) -> list[InputError]:
        """Write what is about all photos, also after Ctrl-C, about those that were done. Returns what can't be."""
        problems = self._write_page()
        if self.jsonl and self.jsonl_is_begun:
            self.files.append(self.jsonl)
        if self.results:
            for path, write in self.summaries.items():
                failed = attempt(path, write, path, self.results)
                problems += failed
                self.files += [] if failed else [path]
        return problems

    def _append(self, result: ImageResult) -> None:
        if not self.jsonl_is_begun:  # not sooner, so that a run that can't even begin spoils nothing
            write_jsonl(self.jsonl, self.earlier)  # without the line that an earlier run was cut off in
            self.jsonl_is_begun = True
        append_jsonl(self.jsonl, result)

    def _write_page(self) -> list[InputError]:
        if not self.page:
            return []
        sources, thumbnails = zip(*self.page, strict=True)
        self.page = []
        path = self.sheets[sources[0]]
        captions = [Path(source).name for source in sources]
        return attempt(path, lambda: write_image(path, contact_sheet(thumbnails, COLUMNS, THUMBNAIL, captions)))


def read_earlier(path: Path, options: dict) -> list[ImageResult]:
    """What a run with these options has put into its JSON Lines, to go on with. Earlier versions didn't note options.

    Raises:
        InputError: it can't be read, it had other options, or a photo is there twice, as two runs at once left it.
    """
    earlier, seen = read_jsonl(path), set()
    for number, result in enumerate(earlier, start=1):
        if result.image in seen:
            raise InputError(
                f"{path}: line {number}: {result.image} is there twice; take one out, or begin anew without --resume"
            )
        seen.add(result.image)
        before = options if result.options is None else result.options
        for name in sorted(before.keys() | options.keys()):
            was, now_is = (str(one.get(name, "its default")) for one in (before, options))
            if was != now_is:
                raise InputError(
                    f"{path}: line {number}: made with {name} {was[:40]}, not {now_is[:40]}; resume with the same, or "
                    "name another file"
                )
    return earlier


def attempt(name: str | Path, function: Callable, *arguments) -> list[InputError]:
    """Call a function; what it raises comes back in a list, so that one file that fails costs no other."""
    try:
        function(*arguments)
    except Exception as error:
        return [as_problem(name, error)]
    return []


def thumbnail(image: np.ndarray, faces: Sequence[Face]) -> tuple[np.ndarray, list[Face]]:
    """An image reduced for a contact sheet, and its faces there: drawn on it, they can be seen."""
    small, factor = reduced(image, THUMBNAIL)
    return small, [face.scaled(factor) for face in faces]
