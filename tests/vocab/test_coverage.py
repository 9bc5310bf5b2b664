import numpy as np
import pytest
import torch

from vocab.coverage import Coverage, DriftDetector, DriftLimits
from vocab.words import Vocabulary

WORDS = torch.eye(48)[:4]


def coverage(matched: float, distance: float | None = 0.01) -> Coverage:
    return Coverage(matched, distance, np.zeros(4, np.int64))


def test_coverage_counts_matched_patches_their_distance_and_the_use_of_each_word():
    near = WORDS[[0, 0, 2]] + 0.05
    far = torch.ones(1, 48)

    measured = Coverage.of(Vocabulary(WORDS), torch.cat([near, far]), near=0.2)

    assert measured.matched == 0.75
    assert measured.usage.tolist() == [2, 0, 1, 0]
    expected = 1 - torch.nn.functional.cosine_similarity(near, WORDS[[0, 0, 2]])
    assert measured.distance == pytest.approx(float(expected.mean()), abs=1e-6)


def test_where_nothing_matches_there_is_no_distance():
    measured = Coverage.of(Vocabulary(WORDS), torch.ones(3, 48), near=0.01)

    assert (measured.matched, measured.distance) == (0, None)


@pytest.mark.parametrize("worse", [coverage(0.7), coverage(0.9, 0.02), coverage(0.0, None)])
def test_worse_coverage_is_drift_only_when_it_lasts(worse):
    drift = DriftDetector(DriftLimits(checks=3))
    drift.learned(coverage(0.9))

    assert [drift.drifted(worse) for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize("fine", [coverage(0.9), coverage(0.73), coverage(1.0, 0.014)])
def test_coverage_within_the_limits_is_no_drift_and_forgives_what_was(fine):
    drift = DriftDetector(DriftLimits(checks=2))
    drift.learned(coverage(0.9))

    assert not any(drift.drifted(seen) for seen in [coverage(0.1), fine, coverage(0.1), fine, fine])


def test_without_a_mark_the_first_coverage_sets_it():
    drift = DriftDetector(DriftLimits(checks=1))

    assert not drift.drifted(coverage(0.5))
    assert not drift.drifted(coverage(0.45))
    assert drift.drifted(coverage(0.3))


def test_rounding_of_words_that_match_exactly_is_no_drift():
    drift = DriftDetector(DriftLimits(checks=1))
    drift.learned(coverage(1.0, 0.0))

    assert not drift.drifted(coverage(1.0, 5e-5))
