"""What holds of a window, whatever is written to it."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from vocab.window import MemoryWindow, PatchSampler, WindowOptions

SIZE = 2
BYTES = 3 * SIZE * SIZE


def numbered(first: int, count: int) -> np.ndarray:
    """Patches that tell their number."""
    numbers = np.arange(first, first + count, dtype="<u4").view(np.uint8).reshape(count, 4)
    return np.concatenate([numbers, np.zeros((count, BYTES - 4), np.uint8)], axis=1)


@given(
    st.lists(st.integers(0, 40), max_size=30),
    st.integers(1, 10),
    st.integers(1, 60),
    st.integers(1, 60 * BYTES),
)
def test_a_window_holds_the_newest_patches_and_passes_neither_limit(
    counts: list[int], per_frame: int, most: int, most_bytes: int
) -> None:
    assume(per_frame <= min(most, most_bytes // BYTES))
    window = MemoryWindow(
        WindowOptions(patches_per_frame=per_frame, max_patches=most, max_bytes=most_bytes), SIZE
    )
    written = 0
    for count in counts:
        window.add(numbered(written, count))
        written += count
        held = window.read()
        assert len(held) == window.size() <= most
        assert held.nbytes <= most_bytes
        assert np.array_equal(held, numbered(written - len(held), len(held)))
        # The newest frame is never lost.
        assert len(held) >= min(count, per_frame if count % per_frame == 0 else count % per_frame)


@given(st.floats(0.1, 20), st.lists(st.floats(0.001, 2), min_size=1, max_size=80))
def test_as_many_frames_are_sampled_as_the_rate_says_whenever_they_come(
    rate: float, steps: list[float]
) -> None:
    options = WindowOptions(frames_per_s=rate, patches_per_frame=1)
    sampler, image, now_s, taken = PatchSampler(options, SIZE), np.zeros((SIZE, SIZE, 3), np.uint8), 5.0, 0
    for step in [0.0, *steps]:
        now_s += step
        taken += sampler.take(image, now_s) is not None
    passed_s = now_s - 5.0
    assert 1 <= taken <= passed_s * rate + 1.25
    if max(steps) < 1 / rate:
        # Frames come often enough for every point of the grid but the one that is not yet full.
        assert taken >= int(passed_s * rate)
