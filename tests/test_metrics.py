import numpy as np
import pytest

from evaluation import metrics
from face68.draw import schematic_face
from face68.landmarks import Face


def face(eye_distance=100.0):
    """Points in a row, the outer eye corners `eye_distance` apart."""
    points = np.zeros((68, 2))
    points[45] = [eye_distance, 0]
    return points


def test_nme_by_hand():
    truth = np.stack([face(100), face(50)])
    predicted = truth.copy()
    predicted[0] += [3, 4]  # every point is 5 px off: 5 / 100
    predicted[1, 0] += [0, 34]  # one of 68 points is 34 px off: 34 / 68 / 50
    np.testing.assert_allclose(metrics.nme(predicted, truth), [0.05, 0.01])


def test_failure_rate_counts_what_is_above():
    assert metrics.failure_rate([0.08, 0.0801, 0.2, 0.01]) == 0.5


def test_auc_by_hand():
    assert metrics.auc([0.0]) == 1
    assert metrics.auc([0.08, 0.3]) == 0
    # Areas of the two steps: (0.08 - 0.02) / 2 + (0.08 - 0.06) / 2 = 0.04, of 0.08.
    assert metrics.auc([0.02, 0.06]) == pytest.approx(0.5)


def test_auc_is_the_area_under_the_curve():
    errors = np.random.default_rng(0).gamma(4, 0.01, 500)
    _, share = metrics.cumulative_errors(errors, steps=20001)
    assert metrics.auc(errors) == pytest.approx(share.mean(), abs=1e-4)


def test_cumulative_errors_ends_at_one_minus_the_failure_rate():
    errors = np.array([0.01, 0.05, 0.09, 0.2])
    _, share = metrics.cumulative_errors(errors)
    assert share[0] == 0 and share[-1] == 1 - metrics.failure_rate(errors)


def test_region_errors():
    truth = face()[None]
    predicted = truth.copy()
    predicted[0, 36:48] += [0, 7]
    regions = metrics.region_errors(metrics.point_errors(predicted, truth))
    assert {name: values.tolist() for name, values in regions.items()} == {
        "jaw": [0],
        "brows": [0],
        "nose": [0],
        "eyes": [pytest.approx(0.07)],
        "mouth": [0],
    }


def test_the_interval_of_the_median_is_that_of_normal_values_and_draws_people():
    values = np.random.default_rng(1).normal(0.05, 0.01, 900)
    low, high = metrics.bootstrap_median(values, np.arange(900))
    expected = 1.96 * np.sqrt(np.pi / 2) * 0.01 / np.sqrt(900)  # of the median of a normal distribution
    assert (high - low) / 2 == pytest.approx(expected, rel=0.15)
    assert low < np.median(values) < high
    same = metrics.bootstrap_median(np.repeat(values[:30], 30), np.repeat(np.arange(30), 30))
    assert same == pytest.approx(metrics.bootstrap_median(values[:30], np.arange(30)))


def test_errors_by_a_value_are_means_of_ranges_that_begin_where_the_last_one_ends():
    values = np.array([-5.0, 0.0, 4.9, 5.0, 20.0, np.nan])
    errors = np.array([0.1, 0.2, 0.4, 0.6, 0.8, 99])
    below, within, above = metrics.errors_by(values, (0, 5), errors, ["a", "a", "b", "c", "c", "d"])
    assert below == {"from": None, "to": 0, "faces": 1, "nme": pytest.approx(0.1), "interval": None}  # one person
    assert (within["from"], within["to"], within["faces"], within["nme"]) == (0, 5, 2, pytest.approx(0.3))
    assert within["interval"] == pytest.approx((0.2, 0.4))
    assert (above["from"], above["to"], above["faces"], above["interval"]) == (5, None, 2, None)
    assert metrics.errors_by(values[:1], (0, 5), errors[:1], ["a"]) == [below]  # empty ranges are left out


def test_errors_by_look_sort_faces_by_size_and_pose():
    from face68.geometry import similarity, transform_points

    def seen(size, roll):
        return transform_points(schematic_face(), similarity((0, 0), (99, 99), size, roll))

    truth = np.stack([seen(size, roll) for size in (40, 80, 120, 160) for roll in (-30, 0, 30)])
    errors = np.repeat([0.08, 0.06, 0.04, 0.02], 3)
    looks = metrics.errors_by_look(truth, errors, np.arange(12))
    assert [group["nme"] for group in looks["size"]] == pytest.approx([0.08, 0.06, 0.04, 0.02])
    assert [(group["from"], group["to"]) for group in looks["size"]][1:3] == [(70, 100), (100, 130)]
    assert [(g["from"], g["to"], g["faces"]) for g in looks["roll"]] == [(None, -20, 4), (-7, 7, 4), (20, None, 4)]
    assert [(g["from"], g["to"], g["faces"]) for g in looks["yaw"]] == [(-15, 15, 12)]


def test_a_summary_has_an_interval_around_each_figure():
    rng = np.random.default_rng(0)
    truth = np.stack([face(100) + rng.normal(0, 1, (68, 2)) for _ in range(60)])
    predicted = truth + rng.normal(0, 1, (60, 68, 2)) * rng.uniform(1, 12, (60, 1, 1))
    report = metrics.summary(predicted, truth, [str(i) for i in range(60)])
    for value, ends in (
        ("nme", "nme_95_interval_over_people"),
        ("nme_median", "nme_median_95_interval"),
        ("failure_rate_at_8_percent", "failure_rate_at_8_percent_95_interval"),
        ("auc_at_8_percent", "auc_at_8_percent_95_interval"),
    ):
        assert report[ends][0] < report[value] < report[ends][1], value
    for name, (low, high) in report["nme_by_region_95_intervals"].items():
        assert low < report["nme_by_region"][name] < high
    assert np.mean(report["nme_by_point"]) == pytest.approx(report["nme"])


def test_bootstrap_draws_people_not_images():
    rng = np.random.default_rng(1)
    person = rng.normal(0.05, 0.01, 40)
    values, people = np.repeat(person, 25), np.repeat(np.arange(40), 25)
    low, high = metrics.bootstrap_interval(values, people)
    # 40 independent values, however many images there are of each.
    expected = 1.96 * person.std() / np.sqrt(40)
    assert (high - low) / 2 == pytest.approx(expected, rel=0.1)
    assert low < values.mean() < high
    assert metrics.bootstrap_interval(values, people) == (low, high)


def test_calibration_table_by_hand():
    expected, measured = np.array([[3.0, 1.0], [4.0, 2.0]]), np.array([[30.0, 10.0], [50.0, 20.0]])
    np.testing.assert_allclose(metrics.calibration_table(expected, measured, bins=2), [[1.5, 15], [3.5, 40]])


def test_calibration_is_found_again():
    random = np.random.default_rng(0)
    log_errors = random.uniform(-4, -1, (500, 68))
    distances = random.exponential(np.exp(0.3 + 0.8 * log_errors))
    offset, slope = metrics.fit_calibration(log_errors, distances)
    assert offset == pytest.approx(0.3, abs=0.1) and slope == pytest.approx(0.8, abs=0.03)
    table = metrics.calibration_table(np.exp(offset + slope * log_errors), distances)
    np.testing.assert_allclose(table[:, 1] / table[:, 0], 1, atol=0.1)


def test_a_network_that_says_nearly_the_same_of_all_points_is_not_told_a_steep_line():
    """Its line goes through noise: it falls, or it rises so steeply that other points' errors are 1e-24 px."""
    random = np.random.default_rng(0)
    for log_errors in (np.full((48, 68), -1.0), random.normal(-1, 1e-3, (48, 68))):
        for trend in (-40, 40):
            distances = np.exp(-1 + trend * (log_errors + 1)) * random.exponential(1, log_errors.shape)
            offset, slope = metrics.fit_calibration(log_errors, distances)
            assert 0 <= slope <= metrics.STEEPEST
            assert np.exp(offset + slope * log_errors).mean() == pytest.approx(distances.mean(), rel=0.05)
            assert 1e-9 < np.exp(offset + slope * -6.9) < 1


def test_average_precision_by_hand():
    scores = np.array([0.2, 0.9, 0.6, 0.5])
    # In order: true, false, true, false; of three faces two are found, at a precision of 1 and 2/3.
    is_true = np.array([False, True, False, True])
    assert metrics.average_precision(scores, is_true, 3) == pytest.approx((1 + 2 / 3) / 3)
    assert metrics.average_precision(scores[:0], is_true[:0], 3) == 0
    assert metrics.average_precision(scores, np.ones(4, bool), 4) == metrics.average_precision([1.0], [True], 1) == 1
    # A late hit's better precision counts for the earlier ones: false, true, true.
    assert metrics.average_precision(np.array([3, 2, 1]), np.array([0, 1, 1]), 2) == pytest.approx(2 / 3)


def test_fitted_logits_are_those_of_the_probability():
    random = np.random.default_rng(0)
    said = random.normal(0, 2, 20_000)
    true = random.random(20_000) < 1 / (1 + np.exp(-(0.5 + 0.7 * said)))
    offset, slope = metrics.fit_logistic(said, true)
    assert offset == pytest.approx(0.5, abs=0.06) and slope == pytest.approx(0.7, abs=0.04)
    for few in (np.array([]), np.array([-3.0, 4.0])):
        assert np.isfinite(metrics.fit_logistic(few, few > 0)).all(), "also where nothing contradicts"


def test_each_thing_takes_the_nearest_that_is_free():
    distances = np.array([[0.2, 0.1], [0.3, 0.1], [np.inf, np.inf], [0.1, 0.1]])
    before = distances.copy()
    assert metrics.nearest_free(distances).tolist() == [1, 0, -1, -1]
    assert (distances == before).all(), "what was given stays"
    assert metrics.nearest_free(np.zeros((2, 0))).tolist() == [-1, -1]


def test_normalisers_by_hand():
    points = np.zeros((68, 2))
    points[[36, 39], 0] = [10, 30]  # the right eye's corners; its other points in their middle
    points[[37, 38, 40, 41], 0] = 20
    points[42:48] = [50, 40]
    points[8] = [90, 120]
    assert metrics.unit_length(points) == pytest.approx(np.hypot(40, 40))
    assert metrics.inter_pupil(points) == pytest.approx(50)  # 30 to the right, 40 down
    assert metrics.box_side(points) == pytest.approx(np.sqrt(90 * 120))
    assert metrics.box_diagonal(points) == pytest.approx(150)
    predicted = points + np.array([3, 4])
    distances = {"inter-ocular": 40 * np.sqrt(2), "inter-pupil": 50, "box": np.sqrt(10800), "diagonal": 150}
    for norm, by in distances.items():
        assert metrics.nme(predicted[None], points[None], norm) == pytest.approx(5 / by)
        both = metrics.nme(2 * predicted[None] + 7, 2 * points[None] + 7, norm)
        assert both == pytest.approx(5 / by), "in a picture of twice the size too"
    assert set(metrics.NORMS) == set(metrics.MEANINGS)


def test_a_missed_face_counts_as_30_percent_of_the_eye_distance():
    truth = np.stack([face(100), face(50)])
    truth[:, 8, 1] = [200, 100]  # the box is 100×200, and half as large
    predicted = truth + np.array([0, 5.0])
    predicted[1] = np.nan
    np.testing.assert_allclose(metrics.all_point_errors(predicted, truth).mean(axis=1), [0.05, 0.3])
    by_box = metrics.all_point_errors(predicted, truth, "box").mean(axis=1)
    np.testing.assert_allclose(by_box, [5 / np.sqrt(20000), 0.3 * 50 / np.sqrt(5000)])
    assert np.isnan(metrics.nme(predicted, truth)[1])


def test_the_summary_has_each_threshold():
    truth = np.stack([face(100)] * 4) + np.random.default_rng(0).normal(0, 1, (4, 68, 2))
    truth[:, [36, 45]] = [[0, 0], [100, 0]]
    predicted = truth + np.array([2, 9, 9, 20.0])[:, None, None] * [0, 1]
    predicted[3] = np.nan
    found = metrics.summary(predicted, truth, list("abcd"), thresholds=(0.08, 0.1))
    assert found["missed"] == 1 and found["normaliser"] == "inter-ocular" and found["thresholds"] == [0.08, 0.1]
    assert found["nme"] == pytest.approx((0.02 + 0.09 + 0.09 + 0.3) / 4)
    assert found["failure_rate_at_8_percent"] == 0.75 and found["failure_rate_at_10_percent"] == 0.25
    assert found["auc_at_8_percent"] == pytest.approx(0.06 / 0.08 / 4)
    assert found["auc_at_10_percent"] == pytest.approx((0.08 + 0.01 + 0.01) / 0.1 / 4)
    assert found["nme_by_point"] == pytest.approx([0.125] * 68)


def test_a_difference_that_all_faces_share_is_more_than_noise():
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(50), 3)
    hard = rng.gamma(4, 0.01, 150)  # as much as makes the means of two uncertain by 0.3 points
    errors = {"a": hard, "b": hard + 0.001 + rng.normal(0, 0.001, 150), "c": rng.permutation(hard)}
    pairs = {(pair["of"], pair["minus"]): pair for pair in metrics.differences(errors, people)}
    assert list(pairs) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert pairs["a", "b"]["difference"] == pytest.approx((errors["a"] - errors["b"]).mean())
    assert pairs["a", "b"]["more_than_noise"] and not pairs["a", "c"]["more_than_noise"]
    low, high = pairs["a", "b"]["interval"]
    by_person = (errors["a"] - errors["b"]).reshape(50, 3).mean(axis=1)
    assert (high - low) / 2 == pytest.approx(1.96 * by_person.std() / np.sqrt(50), rel=0.15)
    assert pairs["a", "b"]["interval"] == metrics.bootstrap_interval(errors["a"] - errors["b"], people)
    (alone,) = metrics.differences({"a": hard, "b": hard + 1}, ["one"] * 150)
    assert alone["interval"] is None and not alone["more_than_noise"], "of one person nobody knows"


def test_two_that_are_equal_seldom_differ():
    rng = np.random.default_rng(1)
    found = []
    for _ in range(100):
        errors = dict(zip("ab", rng.gamma(4, 0.01, (2, 100)), strict=True))
        found += [pair["more_than_noise"] for pair in metrics.differences(errors, np.arange(100))]
    assert 0.01 < np.mean(found) < 0.12


def test_the_labelled_face_is_the_surest_of_those_that_are_about_there():
    points = np.array([(0, 0), (100, 80)] * 34, np.float32)  # a side of 100 px around 50, 40

    def box(x, y, side):
        return x - side / 2, y - side / 2, x + side / 2, y + side / 2

    for x, y, side, is_near in (
        (50, 40, 100, True), (89, 79, 100, True), (11, 1, 100, True), (50, 40, 51, True), (50, 40, 199, True),
        (91, 40, 100, False), (50, 81, 100, False), (50, -1, 100, False), (50, 40, 49, False), (50, 40, 201, False),
    ):  # fmt: skip
        assert metrics.is_near(box(x, y, side), points) == is_near, (x, y, side)

    elsewhere = Face(box(300, 300, 100), 0.99, points + 250)
    by_box, by_points = Face(box(50, 40, 100), None, points + 250), Face(box(300, 300, 100), 0.2, points + 9)
    assert metrics.labelled_face([elsewhere, by_box], points) is by_box
    assert metrics.labelled_face([by_box, elsewhere, by_points], points) is by_points
    assert metrics.labelled_face([elsewhere], points) is None


def test_what_is_the_same_does_not_differ_and_what_is_worse_does():
    errors = np.random.default_rng(0).gamma(4, 0.01, 60)
    same, worse, better = metrics.differences({"a": errors, "b": errors, "c": errors - 0.01}, np.arange(60))
    assert same["interval"] == (0, 0) and not same["more_than_noise"]
    assert worse["more_than_noise"] and better["more_than_noise"] and worse["difference"] == pytest.approx(0.01)


def test_the_summary_counts_faces_and_people():
    truth = np.stack([schematic_face() * 100] * 5)
    found = metrics.summary(truth + 1, truth, list("aabbc"))
    assert (found["faces"], found["people"], found["missed"]) == (5, 3, 0)
