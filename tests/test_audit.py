"""The audit finds each planted fault of a small data set, and only those."""

import csv
import re
import shutil

import numpy as np
import pytest
from conftest import one_line_error
from PIL import Image

import prepare
from datasets import audit
from datasets.labels import read_csv
from face68.files import InputError
from face68.formats import write_pts

WIDTH, HEIGHT = 90, 100


def face(eye_distance=40.0):
    """(68, 2) px, all in the middle except the outer eye corners."""
    points = np.full((68, 2), 50.0)
    points[36], points[45] = (20, 40), (20 + eye_distance, 40)
    return points


def write_image(path, shade, size=(WIDTH, HEIGHT)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGBA", size, (shade, 0, 0, 255)).save(path, format="PNG")


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["", *range(136)])
        writer.writerows([name, *np.ravel(points)] for name, points in rows.items())


@pytest.fixture
def clean(tmp_path):
    """Three people, none in both splits, nothing wrong."""
    training = {f"{person}_{i:02d}.jpg": face() for person in ("Ann_A", "Bob_B") for i in range(3)}
    test = {f"Cem_C_{i:02d}.jpg": face(60) for i in range(2)}
    for shade, name in enumerate(training):
        write_image(tmp_path / "training" / name, shade)
    for shade, name in enumerate(test, start=100):
        write_image(tmp_path / "test" / name, shade)
    write_csv(tmp_path / "training_frames_keypoints.csv", training)
    write_csv(tmp_path / "test_frames_keypoints.csv", test)
    return tmp_path


def rewrite(directory, split="training", **changes):
    """Write a split's CSV again with some rows changed or added; the keys are names without `.jpg`."""
    path = directory / f"{split}_frames_keypoints.csv"
    names, keypoints, *_ = read_csv(path)
    rows = dict(zip(names, keypoints, strict=True))
    write_csv(path, rows | {f"{name}.jpg": points for name, points in changes.items()})


def test_a_clean_set_has_no_findings(clean, capsys):
    training, test = audit.check(clean).splits
    assert (training.name, len(training.images), len(training.rows)) == ("training", 6, 6)
    assert (test.name, len(test.images), len(test.rows)) == ("test", 2, 2)
    assert training.people == {"Ann_A", "Bob_B"}
    np.testing.assert_allclose(training.eye_distances, 40)
    np.testing.assert_array_equal(test.sizes, [[WIDTH, HEIGHT]] * 2)
    assert [round(one.brightness) for one in test.images.values()] == [30, 30]  # 0.299 of red 100 and 101
    assert training.poses.shape == (6, 3) and test.outside.shape == (2, 68) and not test.outside.any()

    report = capsys.readouterr().out
    assert re.search(r"^images +6 +2$", report, re.M)
    assert re.search(r"^people +2 +1$", report, re.M)
    assert re.search(r"^training: width( +90){5}$", report, re.M)
    assert re.search(r"^test: outer-eye distance( +60){5}$", report, re.M)
    for problem in ("without a row", "without their", "unreadable", "outside"):
        assert re.search(rf"{problem}.* 0 +0$", report, re.M)
    assert "," not in report.replace(str(clean), "")  # no list of names


def test_each_fault_is_found_and_named(clean, capsys):
    write_image(clean / "test/Dan_D_00.jpg", 200)  # no row
    (clean / "training/Ann_A_01.jpg").unlink()  # a row without image
    (clean / "training/Bob_B_01.jpg").write_bytes(b"<html>")  # no image, whatever its name
    shutil.copy(clean / "training/Ann_A_02.jpg", clean / "test/Ann_A_99.jpg")  # across, and a person in common
    shutil.copy(clean / "training/Bob_B_00.jpg", clean / "training/Bob_B_02.jpg")  # within

    findings = audit.check(clean)
    training, test = findings.splits
    assert test.unlabelled == ["Ann_A_99.jpg", "Dan_D_00.jpg"]
    assert training.without_image == ["Ann_A_01.jpg"]
    assert training.unreadable == ["Bob_B_01.jpg"]
    assert len(training.sizes) == 4
    assert findings.duplicates == [
        ["training/Ann_A_02.jpg", "test/Ann_A_99.jpg"],
        ["training/Bob_B_00.jpg", "training/Bob_B_02.jpg"],
    ]
    assert findings.people_in_common == ["Ann_A"]

    report = capsys.readouterr().out
    assert "test: images without a row, 2: Ann_A_99.jpg, Dan_D_00.jpg\n" in report
    assert "training: rows without their image, 1: Ann_A_01.jpg\n" in report
    assert "training: unreadable images, 1: Bob_B_01.jpg\n" in report
    assert "across the splits, 1: training/Ann_A_02.jpg = test/Ann_A_99.jpg\n" in report
    assert "within a split, 1: training/Bob_B_00.jpg = training/Bob_B_02.jpg\n" in report
    assert "People in both splits, 1: Ann_A\n" in report


@pytest.mark.parametrize(
    ("point", "outside"),
    [
        ((-0.4, 0), False),  # pixel centres are at integers, so the frame begins at -0.5
        ((-0.6, 0), True),
        ((WIDTH - 0.6, HEIGHT - 0.6), False),
        ((WIDTH - 0.4, 50), True),
        ((50, HEIGHT - 0.4), True),
        ((HEIGHT - 1, 50), True),  # x is measured against the width
    ],
)
def test_points_outside_the_frame(clean, capsys, point, outside):
    points = face()
    points[[3, 60]] = point
    rewrite(clean, Bob_B_02=points)
    assert audit.check(clean).splits[0].points_outside == ({"Bob_B_02.jpg": 2} if outside else {})
    assert ("Bob_B_02.jpg (2)" in capsys.readouterr().out) == outside


@pytest.mark.parametrize("cell", ["abc", "", "nan", "inf"])
def test_a_cell_that_is_no_number_is_a_finding(clean, capsys, cell):
    points = face().astype(object)
    points[10, 1] = cell
    rewrite(clean, Ann_A_01=points)
    training, test = audit.audit(clean).splits
    assert str(clean / "training_frames_keypoints.csv") in training.problem
    with pytest.raises(InputError, match=re.escape(training.problem)):  # but only after the report
        audit.check(clean)
    report = capsys.readouterr().out
    assert report.splitlines()[1] == f"No labels read: {training.problem}", "the reason comes first"
    assert "images without a row, 6" in report
    assert len(training.images) == 6  # the rest is looked at all the same
    assert len(test.rows) == 2


def grid_labels(slant=0.0, pitch=0.05, count=20):
    """Faces of 70 … 200 px between the eyes whose points are known only by their cell, then cut to whole pixels."""
    random = np.random.default_rng(0)
    eyes = np.linspace(70, 200, count)
    points = eyes[:, None, None] * random.uniform(0, 1.7, (count, 68, 2))
    cell = pitch * eyes[:, None]
    column, row = np.floor(points[..., 0] / cell), np.floor(points[..., 1] / cell)
    return np.floor(np.stack([column * cell, row * cell + slant * column * cell], axis=-1) + 100), eyes


@pytest.mark.parametrize("slant", [0, 1 / 64, -1 / 128])
def test_labels_on_a_grid_are_noticed(slant):
    grid = audit.find_grid(*grid_labels(slant))
    np.testing.assert_allclose(np.median(grid.cells), 0.05, rtol=0.02)
    assert grid.slant == pytest.approx(slant, abs=1.1 / 1024)


def test_the_floor_that_a_grid_sets():
    cell = np.random.default_rng(0).uniform(-0.05, 0.05, (100_000, 2))
    assert audit.LabelGrid(np.array([0.1]), 0.0).floor == pytest.approx(np.linalg.norm(cell, axis=1).mean(), rel=0.01)


def test_whole_pixels_and_free_points_are_no_grid():
    random = np.random.default_rng(0)
    eyes = np.linspace(50, 200, 20)
    points = eyes[:, None, None] * random.uniform(0, 1.7, (20, 68, 2))
    assert audit.find_grid(points, eyes) is None
    assert audit.find_grid(np.floor(points), eyes) is None
    assert audit.find_grid(np.floor(points[:0]), eyes[:0]) is None


def test_long_lists_are_cut(clean, capsys):
    for i in range(12):
        write_image(clean / f"training/Eve_E_{i:02d}.jpg", 20)
    audit.check(clean)
    lines = capsys.readouterr().out.splitlines()
    for fault in ("without a row, 12:", "within a split, 1:"):
        line = next(line for line in lines if fault in line)
        assert line.count("Eve_E") == audit.HANDFUL and line.endswith(" … and 7 more")


def test_folders_behind_links_are_looked_at_once(clean, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write_image(elsewhere / "Eve_E_00.jpg", 20)
    (elsewhere / "circle").symlink_to(clean / "training")
    for name in ("more", "same"):
        (clean / "training" / name).symlink_to(elsewhere)
    rewrite(clean, **{"same/Eve_E_00": face()})  # a row may name it by the other link
    training, _ = audit.audit(clean).splits
    assert len(training.images) == 6 + 2
    assert training.unlabelled == ["more/Eve_E_00.jpg"] and training.without_image == []


def test_rows_without_any_image_folder(clean):
    shutil.rmtree(clean / "test")
    test = audit.check(clean).splits[1]
    assert test.without_image == ["Cem_C_00.jpg", "Cem_C_01.jpg"]
    assert test.sizes.shape == (0, 2)


def test_a_name_that_is_no_utf8_is_printed_escaped(clean, capsys):
    name = "Ann_\udcff_00.jpg"  # how Python holds the byte ff of a file name
    with (clean / "test_frames_keypoints.csv").open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(",".join([name, *["50"] * 136]) + "\n")
    assert audit.check(clean).splits[1].without_image == [name]
    assert "test: rows without their image, 1: Ann_\\udcff_00.jpg\n" in capsys.readouterr().out


def test_other_files_are_no_images(clean):
    (clean / "training/.partial-x1.jpg").write_bytes(b"half a download")
    (clean / "training/README.txt").write_text("about these faces")
    assert len(audit.check(clean).splits[0].images) == 6


@pytest.mark.parametrize("kind", ["empty", "missing", "file"])
def test_what_is_no_data_set_is_one_line(tmp_path, kind):
    directory = tmp_path / "somewhere"
    if kind == "empty":
        directory.mkdir()
    elif kind == "file":
        directory.write_text("")
    with pytest.raises(InputError, match=re.escape(f"{directory}: no data set")) as error:
        audit.check(directory)
    assert "\n" not in str(error.value)


def test_the_command_ends_in_an_error_where_labels_cannot_be_read(clean, in_process):
    (clean / "test_frames_keypoints.csv").write_text("")
    result = in_process(prepare.main, "check", clean)
    assert "test_frames_keypoints.csv: is empty" in one_line_error(result)
    assert re.search(r"^images +6 +2$", result.stdout, re.M)


def test_images_with_pts_files(tmp_path):
    outside = face()
    outside[0] = -20, 50
    for name, points, shade in (("a", face(), 1), ("deep/b", outside, 2), ("deep/c", None, 3)):
        write_image(tmp_path / f"{name}.png", shade)
        if points is not None:
            write_pts(tmp_path / f"{name}.pts", points)
    (split,) = (findings := audit.audit(tmp_path)).splits
    assert findings.people_in_common == []
    assert (split.name, split.rows, split.unlabelled) == ("training", ["a.png", "deep/b.png"], ["deep/c.png"])
    assert split.points_outside == {"deep/b.png": 1}
    assert split.eye_distances == pytest.approx([40, 40])
    (tmp_path / "a.png").unlink()
    assert "no image of that name" in audit.audit(tmp_path).splits[0].problem
