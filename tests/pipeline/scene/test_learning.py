"""Moments of a clip are found by the times that results have."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.models import load_model
from pipeline.preprocess import Preprocessor
from pipeline.scene.learning import examples_of, frames_at, patches_of
from pipeline.scene.polygon import Polygon
from tests.workers.inference.examples import clip

CLIP = "sample:carphone"


@pytest.fixture(scope="module")
def preprocess() -> Preprocessor:
    return Preprocessor(load_model().input)


def at(preprocess: Preprocessor, *times_s: float, source: str = CLIP) -> list[np.ndarray]:
    return [frame.image for frame in frames_at(source, times_s, preprocess, lambda _: None)]


def test_at_a_time_the_frame_is_shown_that_began_last(preprocess: Preprocessor) -> None:
    frames = clip(count=8)
    times = [frame.times.pts_s for frame in frames]
    assert None not in times
    found = at(preprocess, times[5], times[2] + 0.01, times[5] + 0.02, 0.0)
    for image, number in zip(found, [5, 2, 5, 0], strict=True):
        np.testing.assert_array_equal(image, frames[number].image)


def test_a_time_behind_the_end_is_refused_with_the_end(preprocess: Preprocessor) -> None:
    with pytest.raises(UsageError, match=r"ends at [\d.]+ s: there is nothing at 1000 s"):
        at(preprocess, 1.0, 1000.0)


def test_a_camera_has_no_times_to_name(preprocess: Preprocessor) -> None:
    with pytest.raises(UsageError, match="is not a clip"):
        at(preprocess, 1.0, source="rtsp://127.0.0.1:9/x")


def test_examples_are_of_the_zone_and_of_nothing_else() -> None:
    model, frames = load_model(), clip(count=2)
    (whole,) = patches_of(model, frames[:1])
    left = Polygon.of([(0, 0), (0.5, 0), (0.5, 1), (0, 1)])
    (seen,) = examples_of(left, frames[:1], [whole], 14)
    mean = whole[:, : whole.shape[1] // 2].mean(axis=(0, 1))
    np.testing.assert_allclose(seen, mean / np.linalg.norm(mean), atol=1e-3)
    with pytest.raises(UsageError, match="has no patches"):
        patches_of(load_model("null"), frames)
