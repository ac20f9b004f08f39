import hashlib
import json
import math
import shutil
import sys

import numpy as np
import pytest
import torch
from conftest import SAMPLE, SHARED
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import Compose

import data_load
import evaluate
import train
import visualize
from benchmarks.hostile import CELLS, FACES, GOOD_CELLS, NAMES, SHIFTS
from benchmarks.limits import turned
from data_load import (
    CropFace,
    FacialKeypointsDataset,
    Normalize,
    RandomCrop,
    RandomCropFace,
    RandomErase,
    RandomLight,
    Rescale,
    Resize,
    SeededSamples,
    ToTensor,
    crop_face,
    evaluation_transform,
    join,
    motion_kernel,
    open_split,
    random_background,
    training_transform,
    upright_transform,
)
from datasets import layout
from datasets.layout import LabelShift, fold_of, split_by_person
from face68.draw import schematic_face
from face68.files import InputError
from face68.formats import write_pts
from face68.geometry import CropPolicy, box_of, overlap
from face68.landmarks import FLIP, upright_frame


def dotted(height=200, width=240):
    """A black image with four far-apart soft dots, the points 0, 16, 8 and 27 (all others repeat point 0)."""
    dots = {0: (60.3, 70.6), 16: (170.8, 66.2), 8: (118.4, 150.9), 27: (115.1, 84.7)}
    y, x = np.mgrid[:height, :width]
    image = np.zeros((height, width), np.float64)
    for cx, cy in dots.values():
        image += 255 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 3.0**2))
    keypoints = np.tile(np.float32(dots[0]), (68, 1))
    for index, point in dots.items():
        keypoints[index] = point
    return {"image": np.repeat(image.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2), "keypoints": keypoints}


def assert_points_on_dots(sample, points=(0, 16, 8, 27), radius=13, tolerance=0.08):
    """The dot's centroid, measured in the pixels around each keypoint, is the keypoint."""
    gray = sample["image"].astype(np.float64)
    gray = gray.mean(axis=2) if gray.ndim == 3 else gray
    for index in points:
        x, y = sample["keypoints"][index]
        x0, y0 = round(float(x)) - radius, round(float(y)) - radius
        part = gray[y0 : y0 + 2 * radius + 1, x0 : x0 + 2 * radius + 1]
        assert part.max() > 60, f"no dot at point {index}"
        rows, columns = np.indices(part.shape)
        centroid = np.array([x0 + (part * columns).sum() / part.sum(), y0 + (part * rows).sum() / part.sum()])
        np.testing.assert_allclose(centroid, [x, y], atol=tolerance)


@pytest.mark.parametrize(
    "transform",
    [Rescale(150), Rescale((160, 200)), Rescale(300), Resize(160), Resize((180, 150)), CropFace(CropPolicy(160, 1.6))],
    ids=["shorter side", "exact", "enlarge", "square", "portrait", "face"],
)
def test_keypoints_follow_the_image(transform):
    assert_points_on_dots(transform(dotted()))


def test_rescale_keeps_the_aspect_and_resize_does_not():
    assert Rescale(100)(dotted())["image"].shape == (100, 120, 3)
    assert Resize(100)(dotted())["image"].shape == (100, 100, 3)


@settings(max_examples=15)
@given(st.floats(-40, 40), st.floats(0.7, 1.3), st.floats(-0.08, 0.08), st.floats(-0.08, 0.08), st.booleans())
def test_keypoints_follow_any_face_crop(degrees, scale, dx, dy, mirror):
    policy = CropPolicy(200, 2.6)  # wide enough for the dots at every draw
    sample = crop_face(dotted(), policy, degrees=degrees, scale=scale, shift=(dx, dy), mirror=mirror)
    assert sample["image"].shape == (200, 200, 3)
    if mirror:  # undo the renumbering to find the dots by their numbers
        sample["keypoints"] = sample["keypoints"][FLIP]
    assert_points_on_dots(sample)


def test_mirroring_renumbers():
    sample = dotted()
    straight, mirrored = (crop_face(sample, CropPolicy(101, 1.5), mirror=m)["keypoints"] for m in (False, True))
    np.testing.assert_allclose(mirrored[:, 0], 100 - straight[FLIP][:, 0], atol=1e-3)
    np.testing.assert_allclose(mirrored[:, 1], straight[FLIP][:, 1], atol=1e-3)
    assert mirrored[0, 0] < mirrored[16, 0]  # point 0 stays on the left of the picture


def test_random_crop_keeps_the_points_on_the_dots():
    sample = dotted()
    seen = set()
    for seed in range(15):
        torch.manual_seed(seed)
        cropped = RandomCrop((190, 225))(sample)
        assert cropped["image"].shape == (190, 225, 3)
        assert_points_on_dots(cropped)
        seen.add(tuple(cropped["keypoints"][0]))
    assert len(seen) > 10


def test_random_crop_larger_than_the_image_is_refused():
    with pytest.raises(InputError, match="Rescale"):
        RandomCrop(201)(dotted())


def test_normalize_to_the_edges_of_the_image():
    sample = {"image": np.full((50, 100, 3), 255, np.uint8), "keypoints": np.zeros((68, 2), np.float32)}
    sample["keypoints"][:3] = [[-0.5, -0.5], [99.5, 49.5], [49.5, 24.5]]
    normal = Normalize()(sample)
    np.testing.assert_allclose(normal["keypoints"][:3], [[-1, -1], [1, 1], [0, 0]], atol=1e-6)
    assert normal["image"].dtype == np.float32 and normal["image"].shape == (50, 100)
    np.testing.assert_allclose(normal["image"], 1)


def test_normalize_as_the_course_does():
    sample = {"image": np.zeros((200, 200, 3), np.uint8), "keypoints": np.full((68, 2), 150, np.float32)}
    assert (Normalize(center=100, scale=50)(sample)["keypoints"] == 1).all()


def test_to_tensor_shapes():
    gray = ToTensor()(Normalize()(dotted()))
    assert gray["image"].shape == (1, 200, 240) and gray["image"].dtype == torch.float32
    assert gray["keypoints"].shape == (68, 2)
    assert ToTensor()(dotted())["image"].shape == (3, 200, 240)


def test_light_and_erasing_leave_the_keypoints_and_change_the_image():
    torch.manual_seed(1)
    sample = Resize(112)(dotted())
    for transform in (RandomLight(), RandomErase(probability=1)):
        changed = transform(sample)
        np.testing.assert_array_equal(changed["keypoints"], sample["keypoints"])
        assert changed["image"].shape == sample["image"].shape and changed["image"].dtype == np.uint8
        assert (changed["image"] != sample["image"]).any()
    assert RandomErase(probability=0)(sample)["image"] is sample["image"]


def test_a_moved_picture_is_smeared_along_its_way():
    np.testing.assert_allclose(motion_kernel(1, 0).sum(), 1)
    for angle, axis in ((0, 0), (math.pi / 2, 1)):
        kernel = motion_kernel(6, angle)
        line = kernel.sum(axis=axis)
        assert kernel.max(axis=1 - axis).argmax() == 3 and (line > 0).all() and line.sum() == pytest.approx(1)
        assert np.count_nonzero(kernel.sum(axis=1 - axis)) == 1, "nothing beside the line"


def test_presets_evaluation_is_repeatable_and_training_is_not():
    policy = CropPolicy(96)
    for preset, repeatable in ((evaluation_transform(policy), True), (training_transform(policy), False)):
        first, second = preset(dotted()), preset(dotted())
        assert first["image"].shape == (1, 96, 96)
        assert torch.equal(first["image"], second["image"]) == repeatable
    assert isinstance(evaluation_transform(policy), Compose)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize(("degrees", "levelled"), [(0, False), (30, False), (90, True), (180, True), (-120, True)])
def test_a_face_that_lies_is_levelled(degrees, levelled, mirror):
    """It looks as the upright one does, and so do its points; one that is held askew stays so."""
    data = open_split(SAMPLE, "test")
    image, points = turned(data.image(3), data.keypoints[3], upright_frame(data.keypoints[3])[1])  # level
    level, whole = {"image": image, "keypoints": points}, CropPolicy(96, 1.2)
    expected = crop_face(level, whole, mirror=mirror)
    image, points = turned(image, points, degrees)
    found = crop_face({"image": image, "keypoints": points}, whole, mirror=mirror)
    roll = 0 if levelled else -degrees if mirror else degrees
    assert upright_frame(found["keypoints"])[1] == pytest.approx(-roll, abs=0.5)
    if levelled:
        np.testing.assert_allclose(found["keypoints"], expected["keypoints"], atol=0.1)
        assert np.abs(found["image"].astype(float) - expected["image"]).mean() < 4


def test_random_crop_face_respects_its_limits():
    policy = CropPolicy(100, 1.5)
    transform = RandomCropFace(policy, degrees=10, scale=0, shift=0.05, mirror=0)
    whole, turns = dotted(), []
    base = crop_face(whole, policy)["keypoints"]
    for seed in range(400):
        torch.manual_seed(seed)
        moved = transform(whole)["keypoints"]
        before, after = base[16] - base[0], moved[16] - moved[0]
        turns.append(np.degrees(np.arctan2(*after[::-1]) - np.arctan2(*before[::-1])))
        assert np.linalg.norm(after) == pytest.approx(np.linalg.norm(before), rel=1e-4)
    # The square of a uniform number has a mean square of 1/5; a normal one cut off at 2 of 0.77.
    assert max(np.abs(turns)) <= 20.01 and np.std(turns) == pytest.approx(10 * np.sqrt(0.77 / 5), rel=0.15)


# --- the data set -------------------------------------------------------------------------------------------------


def test_a_sample_of_the_data_set(tiny):
    data = FacialKeypointsDataset(tiny / "training_frames_keypoints.csv", tiny / "training")
    assert len(data) == 12 and len(set(data.people)) == 12
    sample = data[3]
    assert sample["image"].dtype == np.uint8 and sample["image"].shape[2] == 3
    assert sample["keypoints"].shape == (68, 2) and sample["keypoints"].dtype == np.float32
    data.preload()[3]["image"][:] = 0  # a user's in-place change must not reach the image that all share
    np.testing.assert_array_equal(data[3]["image"], sample["image"])


def test_images_without_a_row_are_no_error_and_rows_without_an_image_are(tiny):
    (tiny / "training" / "Nobody_00.jpg").write_bytes(b"unlabelled")
    assert len(open_split(tiny, "training")) == 12
    path = tiny / "training_frames_keypoints.csv"
    lines = path.read_text().splitlines()
    name = lines[4].split(",")[0]
    path.write_text("\n".join([lines[0], "", *lines[1:4], "  ", "", *lines[4:]]))  # blank lines are rows of the file
    (tiny / "training" / name).unlink()
    with pytest.raises(InputError, match=rf"row 8, column 1: .*{name}"):
        open_split(tiny, "training")


def rewritten(root, row, change):
    """The CSV file with a row (of the file, from 1) whose cells were changed."""
    path = root / "training_frames_keypoints.csv"
    lines = path.read_text(errors="surrogatepass").splitlines()
    lines[row - 1] = ",".join(change(lines[row - 1].split(",")))
    path.write_text("\n".join(lines) + "\n", errors="surrogatepass")


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell not in GOOD_CELLS and cell not in ("1,5", '"3')])
def test_what_is_no_coordinate_is_named_alone_and_in_a_column(tiny, cell):
    rewritten(tiny, 5, lambda cells: [*cells[:8], cell, *cells[9:]])
    with pytest.raises(InputError, match=r"keypoints\.csv: row 5(, column 9)?: "):
        open_split(tiny, "training")
    for row in range(2, 14):
        rewritten(tiny, row, lambda cells: [*cells[:8], cell, *cells[9:]])
    with pytest.raises(InputError, match=r"keypoints\.csv: row [25](, column 9)?: "):
        open_split(tiny, "training")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "./{name}"])
def test_an_image_that_cannot_be_or_lies_elsewhere_is_named(tiny, name):
    def change(cells):
        text = name.format(name=cells[0], folder=tiny).replace('"', '""')
        return [f'"{text}"', *cells[1:]]

    rewritten(tiny, 5, change)
    with pytest.raises(InputError, match=r"keypoints\.csv: row [56]"):
        open_split(tiny, "training")


@pytest.mark.parametrize("kind", FACES)
def test_labels_that_cannot_be_a_faces_are_named(tiny, pts_folder, kind):
    random = np.random.default_rng(0)

    def change(cells):
        points = FACES[kind](np.array(cells[1:], dtype=np.float64).reshape(-1, 2), random)
        return [cells[0], *map(repr, points.ravel().tolist())]

    rewritten(tiny, 5, change)
    with pytest.raises(InputError, match=r"keypoints\.csv: row 5"):
        open_split(tiny, "training")
    pts = pts_folder / "b" / "one.pts"
    points = FACES[kind](np.loadtxt(pts, skiprows=3, comments="}"), random)
    pts.write_text("".join(f"{x!r} {y!r}\n" for x, y in points.tolist()))
    with pytest.raises(InputError, match=r"one\.pts: "):
        open_split(pts_folder, "training")


def test_given_data_never_falls_back(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: .*prepare\.py download"):
        open_split(tmp_path / "nowhere", "training")


@pytest.mark.parametrize("kind", ["csv", "pts", "nothing"])
def test_without_data_every_command_takes_the_same(kind, tiny, pts_folder, tmp_path, monkeypatch):
    """What is in data/, in either layout, else the sample."""
    folder = {"csv": tiny, "pts": pts_folder, "nothing": tmp_path / "none"}[kind]
    monkeypatch.setattr(layout, "DATA_DIR", folder)
    expected = SAMPLE if kind == "nothing" else folder
    assert train.parse_arguments([]).data == [expected]
    monkeypatch.setattr(sys, "argv", ["evaluate.py"])
    assert evaluate.parse_arguments().data == expected
    output = tmp_path / "faces.png"
    monkeypatch.setattr(sys, "argv", ["visualize.py", "samples", "--count", "1", "--output", str(output)])
    opened, open_ = [], data_load.open_split
    monkeypatch.setattr(data_load, "open_split", lambda folder, split: opened.append(folder) or open_(folder, split))
    visualize.main()
    assert opened == [expected]


# --- splits by person ---------------------------------------------------------------------------------------------


@given(
    st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=60),
    st.integers(0, 4),
    st.randoms(),
    st.sampled_from([5, 10, 20]),
)
def test_no_person_is_on_both_sides_and_order_does_not_matter(people, fold, random, folds):
    training, validation = split_by_person(people, fold, folds)
    assert sorted(training + validation) == list(range(len(people)))
    kept_aside = {people[i] for i in validation}
    assert not kept_aside & {people[i] for i in training}
    shuffled = random.sample(people, len(people))
    assert {shuffled[i] for i in split_by_person(shuffled, fold, folds)[1]} == kept_aside
    with pytest.raises(InputError, match=f"--val-fold {folds}: the {folds} folds are 0 to {folds - 1}"):
        split_by_person(people, folds, folds)


def test_folds_are_what_they_were():
    """A change of the hash would silently mix up training and validation people of older checkpoints."""
    assert fold_of("Abdel_Aziz_Al-Hakim", folds=20) % 5 == 0 and fold_of("Zoran_Djindjic", folds=20) % 5 == 3
    assert [fold_of(name) for name in ("Abdel_Aziz_Al-Hakim", "Zoran_Djindjic", "Ada_Example")] == [0, 3, 0]


def test_folds_of_the_sample_are_all_there():
    people = open_split(SAMPLE, "training").people
    assert {fold_of(person) for person in people} == set(range(5))


def test_the_real_data(real_data):
    data = open_split(real_data, "training")
    assert len(data) == 40
    sample = CropFace(CropPolicy())(data[0])
    assert sample["image"].shape == (112, 112, 3)
    assert sample["image"].std() > 20  # a face, not the black that dividing twice by 255 gives
    assert (sample["keypoints"] > 0).all() and (sample["keypoints"] < 112).all()


# --- Several data sets, .pts files, label shifts --------------------------------------------------------------------


@pytest.fixture
def pts_folder(tmp_path):
    """Four faces of the sample as images with .pts files, in two folders."""
    data = open_split(SAMPLE, "training")
    root = tmp_path / "with pts"
    for i, place in enumerate(("a/one.jpg", "a/two.v2.jpg", "b/one.jpg", "three.jpg")):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data.paths[i], root / place)
        write_pts((root / place).with_suffix(".pts"), data.keypoints[i])
    return root


def test_images_with_pts_files_are_a_data_set(pts_folder):
    (pts_folder / "no label.jpg").write_bytes(b"is left alone")
    shutil.copy(pts_folder / "three.jpg", pts_folder / "three.bak.jpg")  # of another name than three.pts
    data, sample = open_split(pts_folder, "training"), open_split(SAMPLE, "training")
    assert data.names == ["a/one.jpg", "a/two.v2.jpg", "b/one.jpg", "three.jpg"]
    np.testing.assert_allclose(data.keypoints, sample.keypoints[:4], atol=1e-3)
    np.testing.assert_array_equal(data[1]["image"], sample[1]["image"])
    with pytest.raises(InputError, match="test"):
        open_split(pts_folder, "test")


def test_folders_behind_links_belong_to_the_data_set(pts_folder, tmp_path):
    names = open_split(pts_folder, "training").names
    (pts_folder / "b").rename(tmp_path / "elsewhere")
    (pts_folder / "b").symlink_to(tmp_path / "elsewhere")
    (pts_folder / "a" / "back").symlink_to(pts_folder)  # a circle
    (tmp_path / "elsewhere" / "back").symlink_to(pts_folder / "a")
    assert open_split(pts_folder, "training").names == names
    (tmp_path / "link").symlink_to(pts_folder)
    assert open_split(tmp_path / "link", "training").names == names


def test_a_pts_file_without_its_image_is_named(pts_folder):
    (pts_folder / "b" / "one.jpg").unlink()
    with pytest.raises(InputError, match=r"one\.pts: no image"):
        open_split(pts_folder, "training")


def test_the_label_shift_of_a_data_set_stands_in_its_folder(pts_folder):
    """A fraction of the eye distance, pixels, or both."""
    plain = open_split(pts_folder, "training")
    (pts_folder / "label_shift.json").write_text(json.dumps({"x": 0.1, "y": -0.05, "x_pixels": 0.5, "y_pixels": -2}))
    data = open_split(pts_folder, "training")
    eyes = np.linalg.norm(plain.keypoints[:, 36] - plain.keypoints[:, 45], axis=1)
    expected = np.stack([0.1 * eyes + 0.5, -0.05 * eyes - 2], axis=1)[:, None]
    np.testing.assert_allclose(data.label_shifts, np.tile(expected, (68, 1)), atol=1e-3)
    np.testing.assert_allclose(plain.keypoints - data.keypoints, data.label_shifts, atol=1e-3)
    np.testing.assert_allclose(data.as_published().keypoints, plain.keypoints, atol=1e-3)


def test_a_slant_lowers_what_is_right_of_the_middle():
    points = np.zeros((1, 68, 2), np.float32)
    points[0, :34, 0], points[0, 34:, 0] = 10, 30  # so the middle is at 20
    shifts = LabelShift(slant=0.1, y_pixels=2).of(points)
    np.testing.assert_allclose(shifts[0, [0, 67]], [[0, 1], [0, 3]], atol=1e-6)


@pytest.mark.parametrize(
    "content",
    [*SHIFTS, "[1, 2]", '{"z": 0.1}', '{"x": "a", "y": 0}', '{"x": 2.6, "y": 0}', '{"y_pixels": NaN}', '{"slant": 2}'],
)
def test_a_bad_label_shift_is_named(pts_folder, content):
    (pts_folder / "label_shift.json").write_text(content, errors="surrogateescape")
    with pytest.raises(InputError, match=r"label_shift\.json"):
        open_split(pts_folder, "training")


def test_joined_sets_keep_their_faces_shifts_and_sources(pts_folder):
    (pts_folder / "label_shift.json").write_text(json.dumps({"x": 0.1, "y": 0}))
    first, second = open_split(SAMPLE, "training"), open_split(pts_folder, "training")
    both = join([first, second])
    assert len(both) == 204 and both.people[-1] == "three"
    np.testing.assert_array_equal(both.sources, [0] * 200 + [1] * 4)
    np.testing.assert_array_equal(both[200]["keypoints"], second[0]["keypoints"])
    np.testing.assert_array_equal(both[201]["image"], second[1]["image"])
    part = both.subset([3, 203], None)
    eyes = np.linalg.norm(second.keypoints[3, 36] - second.keypoints[3, 45])
    np.testing.assert_allclose(part.label_shifts[:, 5], [[0, 0], [0.1 * eyes, 0]], atol=1e-4)
    np.testing.assert_array_equal(part.sources, [0, 1])


# --- Seeded samples -------------------------------------------------------------------------------------------------


def test_a_seeded_sample_is_what_torch_seeded_by_hand_gives_and_leaves_the_global_numbers_alone():
    data = open_split(SAMPLE, "training").preload()
    data.transform = training_transform(CropPolicy(), background=0.5)
    seeded, before = SeededSamples(data, seed=3), torch.get_rng_state()
    seeded.epoch = 2
    for key in (0, 7, 150):
        sample = seeded[key]
        assert torch.equal(torch.get_rng_state(), before)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(np.random.SeedSequence([3, 2, key]).generate_state(1)[0].item())
            by_hand = data[key]
        assert torch.equal(sample["image"], by_hand["image"]) and torch.equal(sample["keypoints"], by_hand["keypoints"])


def test_the_digest_is_that_of_names_and_labels():
    data = open_split(SAMPLE, "training").subset([1, 0], None)
    names = "\0".join(data.names).encode()
    assert SeededSamples(data, 0).digest() == hashlib.sha256(names + data.keypoints.tobytes()).hexdigest()


# --- Background -----------------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(st.integers(0, 10_000))
def test_background_hardly_overlaps_the_face(seed):
    torch.manual_seed(seed)
    face = np.array([60.0, 50.0, 140.0, 130.0])
    box = random_background(face, 200, 260)
    assert overlap(box, face) < 0.15
    side = box[2] - box[0]
    assert 0.3 * 80 <= side <= 1.5 * 80 and side == pytest.approx(box[3] - box[1])
    assert 0 <= (box[0] + box[2]) / 2 <= 260 and 0 <= (box[1] + box[3]) / 2 <= 200


@pytest.mark.parametrize("face", [(5, 5, 5, 5), (0, 0, math.nan, math.nan), (-math.inf, 0, math.inf, 1)])
def test_there_is_no_background_of_a_face_without_extent(face):
    with pytest.raises(ValueError, match="has no extent"):
        random_background(np.array(face, dtype=np.float64), 200, 260)


def test_keypoints_lie_on_the_dots_in_a_crop_without_an_upright_face_too():
    torch.manual_seed(0)
    transform, whole, seen = RandomCropFace(CropPolicy(), background=1.0), dotted(), 0
    for _ in range(200):
        sample = transform(whole)
        for x, y in sample["keypoints"][[0, 16, 8, 27]].round().astype(int):
            if 0 <= x < 112 and 0 <= y < 112:
                assert sample["image"][y, x].min() > 150
                seen += 1
    assert seen > 300


def test_half_of_the_crops_without_an_upright_face_show_it_turned():
    sample = open_split(SAMPLE, "training")[0]
    torch.manual_seed(0)
    crops = [RandomCropFace(CropPolicy(), background=1.0, mirror=0)(sample) for _ in range(200)]
    assert all(crop["is_upright_face"] == 0 and crop["image"].shape == (112, 112, 3) for crop in crops)
    assert RandomCropFace(CropPolicy(), background=0.0)(sample)["is_upright_face"] == 1
    before, *after = (points[45] - points[36] for points in (s["keypoints"] for s in (sample, *crops)))
    cosines = np.array([now @ before / np.linalg.norm(now) / np.linalg.norm(before) for now in after])
    turned = cosines[cosines < 0.999]  # background isn't
    assert 70 < len(turned) < 130
    assert (turned < math.cos(math.radians(90 - 48))).all(), "a quarter turn, less what every crop is turned by"
    assert (turned < 0).mean() > 0.8


def test_erasing_covers_a_part_inside_the_image():
    torch.manual_seed(0)
    white = {"image": np.full((50, 80, 3), 255, np.uint8), "keypoints": np.zeros((68, 2), np.float32)}
    for _ in range(100):
        covered = (RandomErase(probability=1, side=0.4)(white)["image"] != 255).any(axis=2)
        if covered.any():  # not where it is erased with white
            rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
            assert 2 <= len(rows) <= 20 and 3 <= len(columns) <= 32
            assert covered.sum() == len(rows) * len(columns)


def test_the_real_pts_files_where_they_are():
    folder = SHARED / "dataset_300w"
    if not folder.is_dir():
        pytest.skip("300-W's photographs are not here")
    data = open_split(folder, "training")
    assert len(data) == 1673 and len(set(data.people)) == 1673
    sample = data[0]
    height, width = sample["image"].shape[:2]
    inside = (sample["keypoints"] > 0) & (sample["keypoints"] < [width, height])
    assert inside.all(axis=1).mean() > 0.9


def test_the_test_sets_of_300w_are_known_by_their_folders_and_never_trained_on(tmp_path):
    image = sorted((SAMPLE / "test").glob("*.jpg"))[0]
    folders = {
        "training": ["afw", "helen/trainset", "lfpw/trainset"],
        "common": ["helen/testset", "lfpw/testset"],
        "challenging": ["ibug"],
    }
    for folder in (name for of_split in folders.values() for name in of_split):
        (tmp_path / folder).mkdir(parents=True)
        shutil.copy(image, tmp_path / folder / "image_1.jpg")
        write_pts(tmp_path / folder / "image_1.pts", schematic_face() * 40 + 60)
    (tmp_path / "label_shift.json").write_text('{"x_pixels": 0.5}')
    for split, of_split in {**folders, "full": folders["common"] + folders["challenging"]}.items():
        data = open_split(tmp_path, split)
        assert sorted(data.names) == sorted(f"{folder}/image_1.jpg" for folder in of_split), split
        assert (data.label_shifts[..., 0] == 0.5).all()
    shutil.rmtree(tmp_path / "ibug")
    with pytest.raises(InputError, match="has no ibug/, which full needs; give the folder of 300-W's archives"):
        open_split(tmp_path, "full")


def test_half_of_the_training_crops_are_mirrored_and_none_of_those_that_labels_are_measured_on():
    points = (schematic_face() * 50 + 100).astype(np.float32)
    points[27:36, 0] += 8  # the nose lies right of the middle, in a mirrored crop left of it
    sample = {"image": np.zeros((200, 200, 3), np.uint8), "keypoints": points}

    def of_crops(transform):
        """How far the nose lies to the right, and degrees by which the face is turned, both (200,)."""
        crops = np.stack([transform(sample)["keypoints"].numpy() for _ in range(200)])
        across = crops[:, 45] - crops[:, 36]
        nose = crops[:, 27:36].mean(axis=1) - (crops[:, 45] + crops[:, 36]) / 2
        return (nose * across).sum(axis=1), np.degrees(np.arctan2(across[:, 1], across[:, 0]))

    torch.manual_seed(0)
    right, turns = of_crops(training_transform(CropPolicy()))
    assert 0.4 < (right < 0).mean() < 0.6 and turns.std() > 5
    right, turns = of_crops(upright_transform(CropPolicy()))
    assert (right > 0).all() and np.abs(turns).max() < 1e-3


def test_light_changes_as_much_as_it_is_told_and_mostly_little():
    off = {"contrast": 0, "brightness": 0, "gamma": 0, "blur": 0, "motion": 0, "quality": 90, "noise": 0}

    def lit(image, **most):
        torch.manual_seed(0)
        sample, light = {"image": image, "keypoints": None}, RandomLight(**off | most)
        return np.stack([light(sample)["image"] for _ in range(400)]).astype(float)

    def levels(before, **most):
        return lit(np.full((4, 4, 3), 255 * before, np.uint8), **most)[:, 1, 1, 1] / 255

    for name, most, lowest, highest in (("contrast", 0.4, 0.68, 0.92), ("gamma", 0.5, 0.8**1.5, 0.8 ** (1 / 1.5))):
        after = levels(0.8, **{name: most})
        assert lowest - 0.01 < after.min() < 0.8 - 0.6 * (0.8 - lowest)
        assert 0.8 + 0.6 * (highest - 0.8) < after.max() < highest + 0.01
    off_by = np.abs(levels(0.4, brightness=0.25) - 0.4)
    assert 0.16 < off_by.max() < 0.26 and 0.45 < (off_by < 0.025).mean() < 0.65  # 0.53 for the square of u times v
    noisy = lit(np.full((40, 40, 3), 128, np.uint8), noise=10.0)
    spread = noisy.std(axis=(1, 2, 3))
    assert 0.15 < (spread > 0).mean() < 0.25 and 8 < spread.max() < 11 and (noisy[..., 0] == noisy[..., 2]).all()
    dot = np.zeros((15, 15, 3), np.uint8)
    dot[7, 7] = 255
    peaks = lit(dot, blur=1.2)[:, 7, 7, 0] / 255  # of a Gaussian with a standard deviation of 0.3 … 1.5
    assert peaks.min() == pytest.approx(1 / (2 * math.pi * 1.5**2), abs=0.02)
    assert 0.15 < (peaks < 0.9).mean() < 0.25, "those that are blurred, not those that are compressed a little"
    peaks = lit(dot, motion=9.0)[:, 7, 7, 0] / 255  # smeared along 1 … 10 px
    assert 0.06 < (peaks < 0.5).mean() < 0.14 and 0.08 < peaks.min() < 0.2
    grid = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8).repeat(16, axis=0).repeat(16, axis=1)
    off_by = [np.abs(lit(grid, quality=quality) - grid).mean(axis=(1, 2, 3)) for quality in (90, 5)]
    assert 0.06 < (off_by[0] > 1).mean() < 0.14 and off_by[1].max() > 2 * off_by[0].max()


def test_training_crops_zoom_and_move_as_far_as_they_are_told():
    transform = RandomCropFace(CropPolicy(100, 1.5), degrees=0, scale=0.1, shift=0.05, mirror=0)
    torch.manual_seed(0)
    boxes = np.stack([box_of(transform(dotted())["keypoints"]) for _ in range(400)])
    zooms = np.log((boxes[:, 2] - boxes[:, 0]) / (100 / 1.5))
    moves = (boxes[:, :2] + boxes[:, 2:]) / 2 - 49.5
    assert np.abs(zooms).max() < 0.201 and zooms.std() == pytest.approx(0.1 * np.sqrt(0.77 / 5), rel=0.15)
    assert np.abs(moves).max() < 5.01 and moves.std(axis=0) == pytest.approx(5 * np.sqrt(1 / 15), rel=0.15)
