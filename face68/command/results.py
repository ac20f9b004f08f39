"""What the prediction command writes: pictures and points of each photo as it comes, and files about all of them."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from face68.command.inputs import STDIN, Inputs
from face68.draw import contact_sheet
from face68.files import InputError
from face68.formats import ImageResult, append_jsonl, read_jsonl, write_jsonl, write_pts
from face68.images import WRITABLE_SUFFIXES, reduced, write_image
from face68.photos import Photo

PAGE, COLUMNS, THUMBNAIL = 48, 8, 224  # photos on a contact sheet, in a row of it, and pixels of each


class Results:
    """Where the results of a run go. Pictures and points are written as photos come, the rest at `close`.

    pictures, pts: the file of each source; sources without one are left out.
    draw: (image, faces) → the picture.
    sheets: for each source the contact sheet that begins with it, if one does.
    summaries: files about all photos, each with what writes it.
    jsonl: a file that gets a line as soon as a photo is done.
    resume: go on with `jsonl`: what it has is `earlier`, and belongs into the summaries too.

    Raises:
        InputError: `jsonl` can't be resumed.
    """

    def __init__(
        self,
        *,
        pictures: dict[str, Path],
        pts: dict[str, Path],
        draw: Callable[[np.ndarray, list], np.ndarray],
        sheets: dict[str, Path],
        summaries: dict[Path, Callable[[Path, Iterable[ImageResult]], None]],
        jsonl: Path | None = None,
        resume: bool = False,
    ):
        self.pictures, self.pts, self.draw, self.sheets = pictures, pts, draw, sheets
        self.summaries, self.jsonl = summaries, jsonl
        self.earlier = read_jsonl(jsonl) if resume and jsonl.exists() else []
        self.results = list(self.earlier)
        self.jsonl_is_begun = False
        self.page: list[Photo] = []

    def write(self, photo: Photo) -> Photo:
        """Write the photo's own files, and put the picture, if there is one, in its image's place. From any thread."""
        if photo.problem is None:
            if photo.source in self.pictures:
                photo.image = self.draw(photo.image, photo.faces)
                write_image(self.pictures[photo.source], photo.image)
            if photo.source in self.pts:
                for i, face in enumerate(photo.faces, start=1):
                    write_pts(_of_face(self.pts[photo.source], i), face.keypoints)
        return photo

    def add(self, photo: Photo) -> None:
        """Take a written photo into the files about all."""
        height, width = photo.image.shape[:2]
        result = ImageResult(photo.source, width, height, photo.faces)
        if self.jsonl:
            if not self.jsonl_is_begun:  # not sooner, so that a run that can't even begin spoils nothing
                write_jsonl(self.jsonl, self.earlier)  # without the line that an earlier run was cut off in
                self.jsonl_is_begun = True
            append_jsonl(self.jsonl, result)
        if self.summaries:
            self.results.append(result)
        if self.sheets:
            self.page.append(Photo(photo.source, reduced(photo.image, THUMBNAIL)[0]))
            if len(self.page) == PAGE:
                self._write_page()

    def close(self) -> None:
        """Write what is about all photos; also after Ctrl-C, about those that were done."""
        if self.page:
            self._write_page()
        if self.results:
            for path, write in self.summaries.items():
                write(path, self.results)

    def _write_page(self) -> None:
        captions = [Path(photo.source).name for photo in self.page]
        sheet = contact_sheet([photo.image for photo in self.page], COLUMNS, THUMBNAIL, captions)
        write_image(self.sheets[self.page[0].source], sheet)
        self.page = []


def place_pictures(inputs: Inputs, output: Path | None, single: bool) -> dict[str, Path]:
    """The picture of each source: `output` or a file in it for a `single` photo, else its name within that folder.

    Raises:
        InputError: `output` is a file's name, and there are several photos.
    """
    folder = output or Path("outputs")
    is_file = output is not None and not output.is_dir() and output.suffix.lower() in WRITABLE_SUFFIXES
    if single:
        ((source, name),) = zip(inputs.sources, inputs.names, strict=True)
        return {source: output if is_file else folder / _picture_name(name, "_keypoints")}
    if is_file:
        raise InputError(f"{output}: is a file's name, but the pictures are several; give --output a folder")
    return {source: folder / _picture_name(name) for source, name in zip(inputs.sources, inputs.names, strict=True)}


def _picture_name(name: Path, addition: str = "") -> Path:
    """In the photo's own format where that can be written, else PNG behind the whole name."""
    if name.suffix.lower() in WRITABLE_SUFFIXES:
        return name.with_name(f"{name.stem}{addition}{name.suffix}")
    return name.with_name(f"{name.name}{addition}.png")


def place_sheets(inputs: Inputs, folder: Path) -> dict[str, Path]:
    """The contact sheet that each source would begin, numbered by it: so an interrupted run's sheets stay."""
    return {source: folder / f"contact_sheet_{i}.jpg" for i, source in enumerate(inputs.sources, start=1)}


def place_pts(inputs: Inputs, folder: Path) -> dict[str, Path]:
    """The .pts file of each source's first face: the photo's name with that suffix, which tools look for.

    Where two photos differ in nothing but the suffix, it comes behind theirs.

    Raises:
        InputError: the folder holds photos, so the .pts files in it may be their labels.
    """
    for source in inputs.sources:
        if source != STDIN and Path(source).resolve().parent == folder.resolve():
            raise InputError(f"{folder}: holds photos, and .pts files there may be their labels; give --pts another")
    stems = Counter(name.with_suffix("") for name in inputs.names)
    names = [name.with_suffix("" if stems[name.with_suffix("")] == 1 else name.suffix) for name in inputs.names]
    return {
        source: folder / name.with_name(f"{name.name}.pts") for source, name in zip(inputs.sources, names, strict=True)
    }


def _of_face(path: Path, number: int) -> Path:
    """photo.pts for the first face of a photo, photo.face2.pts for the second."""
    return path if number == 1 else path.with_name(f"{path.stem}.face{number}.pts")


def protect(sources: Sequence[str], results: Iterable[Path]) -> None:
    """See that the files to write are no photos, whatever links or letter case say, and that no two are one.

    Raises:
        InputError: one of them is.
    """
    photos = {_identity(Path(source)) for source in sources if source != STDIN} - {None}
    seen = set()
    for path in results:
        if _identity(path) in photos:
            raise InputError(f"{path}: is a photo to read; name another place for results")
        if path.absolute() in seen:
            raise InputError(f"{path}: is named for two results; give each a place of its own")
        seen.add(path.absolute())


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):  # not there, or a path that no file can have
        return None
    return status.st_dev, status.st_ino
