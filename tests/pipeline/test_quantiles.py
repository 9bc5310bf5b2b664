import pickle

import numpy as np
import pytest

from pipeline.quantiles import LogHistogram


def filled(values: np.ndarray) -> LogHistogram:
    histogram = LogHistogram()
    for value in values:
        histogram.add(float(value))
    return histogram


@pytest.mark.parametrize("q", [0.01, 0.25, 0.5, 0.9, 0.99, 0.999])
@pytest.mark.parametrize("shape", ["lognormal", "two modes", "narrow"])
def test_quantiles_are_within_one_percent_of_those_of_numpy(q: float, shape: str) -> None:
    rng = np.random.default_rng(3)
    values = {
        "lognormal": rng.lognormal(3, 1.5, 5000),
        "two modes": np.concatenate([rng.normal(8, 0.5, 4000), rng.normal(900, 50, 1000)]),
        "narrow": rng.uniform(60.0, 60.5, 5000),
    }[shape]
    expected = np.quantile(values, q, method="inverted_cdf")
    assert filled(values).quantile(q) == pytest.approx(expected, rel=0.01)


def test_no_quantile_lies_beyond_the_smallest_and_the_largest_value() -> None:
    histogram = filled(np.array([3.7, 12.0, 981.3]))
    assert histogram.quantile(0) == pytest.approx(3.7, rel=0.01)
    assert histogram.quantile(1) == pytest.approx(981.3, rel=0.01)
    assert 3.7 <= histogram.quantile(0) <= histogram.quantile(1) <= 981.3


def test_a_single_value_is_every_quantile() -> None:
    assert filled(np.array([42.42])).quantile(0.99) == 42.42


def test_values_outside_its_range_are_kept_at_its_ends() -> None:
    histogram = filled(np.array([0.0, 5e7]))
    assert histogram.quantile(0.5) == pytest.approx(0.001, rel=0.02)
    assert histogram.quantile(1) == pytest.approx(1e6, rel=0.03)


def test_without_values_there_is_no_quantile() -> None:
    assert LogHistogram().quantile(0.5) is None


def test_it_does_not_grow_with_the_number_of_values() -> None:
    values = np.random.default_rng(0).lognormal(3, 1, 3000)
    few, many = filled(values), filled(np.tile(values, 10))
    assert len(pickle.dumps(many)) < 1.5 * len(pickle.dumps(few))
