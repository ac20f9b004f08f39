"""Find the faces of millions of photos with Ray Data, on all cores of a machine or of a cluster (docs/scale.md).

    pip install . "ray[data]"
    python examples/predict_ray.py photos/ --recursive --output faces/
    python examples/predict_ray.py photos/ --recursive --output faces/      # again: what was done is skipped
    python examples/predict_ray.py /mnt/photos --output /mnt/faces --address auto

Faces are those of `predict.py --no-pictures --jsonl` with the same network, in the same format: a line a photo, also of
one without a face. Each batch of photos has a file of its own, which appears whole when the batch is done; so what ends
a run, in whatever way, costs no more than the batches in work. A photo that can't be read is a line on stderr and in no
file: the next run tries it again.
"""

import contextlib
import hashlib
import logging
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
from filelock import FileLock, Timeout

from face68 import Landmarker
from face68.files import InputError, unwritable
from face68.formats import ImageResult, read_jsonl, write_jsonl
from face68.inputs import find_inputs, glance_at_source, read_source, weigh_glance
from face68.photos import find_faces
from face68.program import log, parser, positive_int, report_problems, run_program, set_up_pillow


class FindFaces:
    """Finds the faces of a batch of photos and writes their file; Ray opens one in each worker process.

    checkpoint: an .onnx file, None: the network that comes with face68.
    output: the folder of the files.
    folder: what the photos' relative paths are relative to, where the command was given.
    """

    def __init__(self, checkpoint: Path | None, output: Path, folder: Path):
        set_up_pillow()
        cv2.setNumThreads(1)  # the other cores have workers of their own
        with contextlib.suppress(OSError):  # not there on this machine of a cluster: absolute paths don't need it
            os.chdir(folder)
        self.landmarker, self.output = Landmarker(checkpoint), output

    def __call__(self, batch: dict) -> dict:
        """A batch of N paths, {"item": (N,)}, to what the command tells of it: how many photos were done, how many
        faces they have, how many seconds processors worked for that, and a line for each problem.
        """
        start, sources = time.process_time(), batch["item"].tolist()
        results, problems = [], []
        for photo in find_faces(self.landmarker, sources, read_source, glance_at_source, weigh_glance):
            if photo.problem:
                problems.append(photo.problem)
            else:
                results.append(ImageResult(photo.source, *photo.size, photo.faces))
        try:
            if results:
                write_jsonl(self.output / file_name(sources), results)
        except InputError as error:
            results, problems = [], [*problems, error]
        return {
            "photos": [len(results)],
            "faces": [sum(len(result.faces) for result in results)],
            "seconds": [time.process_time() - start],
            "problems": ["\0".join(map(str, problems))],
        }


def file_name(sources: list[str]) -> str:
    """The file of a batch. The same photos have the same, so that a batch that Ray does twice is there once."""
    return hashlib.sha256(os.fsencode("\0".join(sources))).hexdigest()[:32] + ".jsonl"


def photos_done(output: Path) -> set[str]:
    """The photos that the files in a folder have; hidden files are unfinished ones.

    Raises:
        InputError: a file isn't JSON Lines of faces.
    """
    return {result.image for path in sorted(output.glob("[!.]*.jsonl")) for result in read_jsonl(path)}


@contextlib.contextmanager
def alone_in(output: Path) -> Iterator[None]:
    """No other run writes into the folder meanwhile.

    Raises:
        InputError: another one does, or it can't be written to.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        with FileLock(output / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise InputError(f"{output}: another process writes into it; wait for it, or name another folder") from error
    except OSError as error:
        raise unwritable(output, error) from error


def start_ray(address: str | None):
    """Ray, connected to a cluster, or to a new one on this machine. It speaks of what fails alone.

    Raises:
        InputError: there is no Ray, or no such cluster.
    """
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # errors reach us as exceptions
    try:
        import ray  # here, because that takes a second
        import ray.data
    except ImportError as error:
        raise InputError(f"Ray Data isn't here ({error}); pip install 'ray[data]'") from error
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        ray.init(address, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, ValueError) as error:
        raise InputError(f"--address: {' '.join(str(error).split())}") from error
    return ray


def find_all(todo: list[str], args) -> Iterator[dict]:
    """The row that `FindFaces` returns for each batch, as they are done.

    Raises:
        InputError: Ray doesn't start, or gives up.
    """
    ray = start_ray(args.address)
    batches = math.ceil(len(todo) / args.batch_size)
    workers = min(batches, args.concurrency or int(ray.cluster_resources()["CPU"]))
    ray.data.DataContext.get_current().enable_progress_bars = os.isatty(2)
    paths = ray.data.from_items(todo, override_num_blocks=batches)
    found = paths.map_batches(
        FindFaces,
        batch_size=None,  # a whole block, which is one of ours
        fn_constructor_args=(args.checkpoint and args.checkpoint.absolute(), args.output.absolute(), Path.cwd()),
        compute=ray.data.ActorPoolStrategy(size=workers),
    )
    try:
        yield from found.iter_rows()
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1]
        raise InputError(f"Ray gave up ({reason}); mend that and run again, what is done stays") from error


def parse_arguments():
    p = parser(__doc__)
    p.add_argument("photos", nargs="+", metavar="PHOTO", help="files, folders of photos, patterns as 'a/*.jpg'")
    p.add_argument("--recursive", action="store_true", help="take the photos of folders in folders, too")
    p.add_argument("--output", type=Path, required=True, help="folder for the JSON Lines files")
    p.add_argument("--checkpoint", type=Path, metavar="FILE.onnx", help="network (default: the one of face68)")
    p.add_argument("--batch-size", type=positive_int, default=256, help="photos in a file, at most")
    p.add_argument("--concurrency", type=positive_int, help="worker processes, one core each (default: all cores)")
    p.add_argument("--address", help="address of a running Ray cluster (default: start one on this machine)")
    return p.parse_args()


def main() -> int:
    args = parse_arguments()
    inputs = find_inputs(args.photos, args.recursive)
    Landmarker(args.checkpoint)  # what is wrong with it is known now, and not to each worker
    failed = report_problems(inputs.problems)
    with alone_in(args.output):
        done = photos_done(args.output)
        todo = [source for source in inputs.sources if source not in done]
        log(f"{len(inputs.sources) - len(todo)} of {len(inputs.sources)} photos are done already")
        photos, faces, seconds = 0, 0, 0.0
        for batch in find_all(todo, args) if todo else ():
            photos, faces, seconds = photos + batch["photos"], faces + batch["faces"], seconds + batch["seconds"]
            failed += report_problems([InputError(line) for line in batch["problems"].split("\0") if line])
    rate = f", {photos / seconds:.1f} photos a second and core" if photos else ""
    log(f"{photos} photos done, {faces} faces{rate} -> {args.output}")
    return 2 if failed else 0


if __name__ == "__main__":
    run_program(main)
