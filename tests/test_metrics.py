import numpy as np
import pytest

import metrics


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
    from face68.draw import schematic_face
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
        ("nme_inter_ocular", "nme_95_interval_over_people"),
        ("nme_median", "nme_median_95_interval"),
        ("failure_rate_at_8_percent", "failure_rate_95_interval"),
        ("auc_at_8_percent", "auc_95_interval"),
    ):
        assert report[ends][0] < report[value] < report[ends][1], value
    for name, (low, high) in report["nme_by_region_95_intervals"].items():
        assert low < report["nme_by_region"][name] < high
    assert np.mean(report["nme_by_point"]) == pytest.approx(report["nme_inter_ocular"])


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


def test_average_precision_by_hand():
    scores = np.array([0.2, 0.9, 0.6, 0.5])
    # In order: true, false, true, false; of three faces two are found, at a precision of 1 and 2/3.
    is_true = np.array([False, True, False, True])
    assert metrics.average_precision(scores, is_true, 3) == pytest.approx((1 + 2 / 3) / 3)
    assert metrics.average_precision(scores[:0], is_true[:0], 3) == 0
    assert metrics.average_precision(scores, np.ones(4, bool), 4) == 1
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
