"""The results of predict.py: pictures and points of each photo as it comes, and files about all photos."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cli.outputs import check_replaceable, path_of_face
from face68.align import Aligned, align
from face68.draw import contact_sheet
from face68.files import InputError, as_problem
from face68.formats import ImageResult, append_jsonl, read_jsonl, write_jsonl, write_pts
from face68.images import reduced, write_image
from face68.landmarks import Face
from face68.photos import Photo

PAGE, COLUMNS, THUMBNAIL = 48, 8, 224  # photos on a contact sheet, in a row of it, and pixels of each


@dataclass
class Results:
    """Writes the results of a run: pictures and points as photos come, the rest at `close`.

    draw: (image, faces) → the picture; takes `numbers=False` for thumbnails, which numbers would cover.
    align: (image, face) → `align.Aligned`, for `aligned`.
    pictures, pts, aligned: the file of each source, or of its first face; a source without one gets none.
    sheets: the contact sheet of each source that may begin one.
    summaries: files about all photos, each with the function that writes it.
    jsonl: a file that gets a line as soon as a photo is done.
    earlier: the results in `jsonl` of a run that this one resumes; the summaries have them too.
    options: what decides on the faces, see `ImageResult`.
    overwrite: see `outputs.check_replaceable`: for files whose number was not known before.
    files: the summaries, and `jsonl`, that were written; known after `close`.
    """

    draw: Callable[..., np.ndarray]
    align: Callable[..., Aligned] = align
    pictures: dict[str, Path] = field(default_factory=dict)
    pts: dict[str, Path] = field(default_factory=dict)
    aligned: dict[str, Path] = field(default_factory=dict)
    sheets: dict[str, Path] = field(default_factory=dict)
    summaries: dict[Path, Callable[[Path, Iterable[ImageResult]], None]] = field(default_factory=dict)
    jsonl: Path | None = None
    earlier: Sequence[ImageResult] = ()
    options: dict | None = None
    overwrite: bool = False

    def __post_init__(self):
        self.results = list(self.earlier)
        self.jsonl_is_begun = False
        self.files: list[Path] = []
        self.page: list[tuple[str, np.ndarray]] = []  # sources and their thumbnails, at most a sheet of them

    def write(self, photo: Photo) -> Photo:
        """Draw the photo, which loses its image for that, and write its own files; an error becomes its problem.
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
        for path, face in self._of_faces(self.aligned, photo):
            write_image(path, self.align(photo.image, face).image)
        if photo.source in self.pictures:
            photo.picture = self.draw(photo.image, photo.faces)
        photo.image = None  # up to 750 MB, which encoding the picture needs
        if photo.source in self.pictures:
            write_image(self.pictures[photo.source], photo.picture)
        for path, face in self._of_faces(self.pts, photo):
            write_pts(path, face.keypoints)

    def _of_faces(self, files: dict[str, Path], photo: Photo) -> list[tuple[Path, Face]]:
        """A photo's faces and the file of each, which may be written; none where its source has no file.

        Raises:
            InputError: one of them may be somebody's.
        """
        if photo.source not in files:
            return []
        paths = [path_of_face(files[photo.source], i) for i in range(1, len(photo.faces) + 1)]
        for path in paths:
            check_replaceable(path, self.overwrite)
        return list(zip(paths, photo.faces, strict=True))

    def add(self, photo: Photo) -> list[InputError]:
        """Add a written photo to the files about all photos. Returns the problems of writing these."""
        result = ImageResult(photo.source, *photo.size, photo.faces, options=self.options)
        problems = []
        if self.jsonl:
            problems += attempt(self.jsonl, self._append, result)
            if problems:
                self.jsonl = None  # a line may be cut off now, and none after it would be read
        if self.summaries:
            self.results.append(result)
        if self.sheets:
            self.page.append((photo.source, photo.thumbnail))
            if len(self.page) == PAGE:
                problems += self._write_page()
        return problems

    def close(self) -> list[InputError]:
        """Write the files about all photos that were done, also after Ctrl-C. Returns the problems of that."""
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
        if not self.jsonl_is_begun:  # only now, so that a run that can't begin spoils nothing
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
    """The results in the JSON Lines of an interrupted run with the same options, to go on with.

    Raises:
        InputError: it can't be read, it had other options, or a photo is there twice.
    """
    earlier, seen = read_jsonl(path), set()
    for number, result in enumerate(earlier, start=1):
        where = f"{path}: line {number}"
        if result.image in seen:
            raise InputError(f"{where}: {result.image} is there twice; take one out, or begin anew without --resume")
        seen.add(result.image)
        before = result.options or {}
        for name in sorted(before.keys() | options.keys()):
            was, now_is = (str(one.get(name, "its default"))[:40] for one in (before, options))
            if was != now_is:
                raise InputError(
                    f"{where}: made with {name} {was}, not {now_is}; resume with the same, or name another file"
                )
    return earlier


def attempt(name: str | Path, function: Callable, *arguments) -> list[InputError]:
    """Call a function and return its error in a list, so that a file that fails stops no other."""
    try:
        function(*arguments)
    except Exception as error:
        return [as_problem(name, error)]
    return []


def thumbnail(image: np.ndarray, faces: Sequence[Face]) -> tuple[np.ndarray, list[Face]]:
    """An image reduced for a contact sheet, and its faces there: lines that are drawn now stay wide enough."""
    small, factor = reduced(image, THUMBNAIL)
    return small, [face.scaled(factor) for face in faces]
