"""What is usual is a median of the last minute, and takes no more memory however long the stream is."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.scene.background import SAMPLES, WINDOW_S, Background
from tests.pipeline.scene.examples import WIDTH, plain


def random_patches(seed: int) -> np.ndarray:
    patches = np.random.default_rng(seed).normal(size=(3, 4, WIDTH)).astype(np.float32)
    return patches / np.linalg.norm(patches, axis=2, keepdims=True)


def watched(background: Background, patches: np.ndarray, seconds: float, start_s: float = 0.0) -> float:
    """Shows it the same for so long, five times a second; when the next frame is due."""
    count = round(seconds * 5)
    for number in range(count):
        background.see(patches, start_s + number / 5)
    return start_s + count / 5


def test_of_the_samples_it_is_the_one_with_the_smallest_sum_of_distances() -> None:
    background, shown = Background(), [random_patches(seed) for seed in range(SAMPLES + 7)]
    for number, patches in enumerate(shown):
        # Each is far enough from the one before to be a sample.
        background.see(patches, number * WINDOW_S)
    kept = np.stack(shown[-SAMPLES:])
    assert background.usual is not None
    for row, column in np.ndindex(3, 4):
        own = kept[:, row, column]
        sums = [sum(1 - float(one @ other) for other in own) for one in own]
        np.testing.assert_allclose(background.usual[row, column], own[int(np.argmin(sums))], atol=1e-3)


def test_what_passes_by_never_becomes_usual() -> None:
    background, passing = Background(), plain(3, 4)
    passing[1, 2] = plain(3, 4, axis=3)[1, 2]
    now = watched(background, plain(3, 4), 20)
    now = watched(background, passing, 6, now)
    assert background.usual is not None
    np.testing.assert_array_equal(background.usual, plain(3, 4))


def test_what_stays_is_usual_within_a_minute() -> None:
    background = Background()
    now = watched(background, plain(3, 4), 200)
    now = watched(background, plain(3, 4, axis=3), WINDOW_S / 3, now)
    np.testing.assert_array_equal(background.usual, plain(3, 4))
    watched(background, plain(3, 4, axis=3), WINDOW_S * 2 / 3, now)
    np.testing.assert_array_equal(background.usual, plain(3, 4, axis=3))


def test_nothing_is_usual_before_some_seconds_were_seen() -> None:
    background = Background()
    watched(background, plain(3, 4), 1)
    assert background.usual is None
    watched(background, plain(3, 4), 1.4, 1)
    assert background.usual is not None


def test_a_clip_that_begins_again_goes_on_with_what_was_usual() -> None:
    background = Background()
    watched(background, plain(3, 4), 30)
    watched(background, plain(3, 4, axis=3), 1)
    np.testing.assert_array_equal(background.usual, plain(3, 4))


def test_pictures_of_another_size_begin_anew() -> None:
    background = Background()
    watched(background, plain(3, 4), 30)
    background.see(plain(4, 3), 31)
    assert background.usual is None


@pytest.mark.parametrize("dropped_first", [True, False])
def test_a_patch_that_was_dropped_now_and_then_is_known_by_the_other_frames(dropped_first: bool) -> None:
    background = Background()
    for number in range(60):
        patches = plain(3, 4)
        if number % 2 != dropped_first or number % 3 == 0:
            patches[0, 0] = 0
        background.see(patches, number)
    np.testing.assert_array_equal(background.usual, plain(3, 4))
