"""What holds of every time line, whatever stamps a container or a camera gives."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sources.timeline import BestTimes, FileTimeline, LiveTimeline

STEP_S = 0.04
# Steps of a camera or a clip, and the wild ones: back, far ahead, a clock set anew.
usual = st.floats(0.001, 0.2)
steps = st.lists(st.one_of(usual, usual, st.floats(-100_000, 100_000)), max_size=40)


def stamps(steps: list[float]) -> list[float]:
    times = [0.0]
    for step in steps:
        times.append(times[-1] + step)
    return times


@given(steps, st.booleans())
def test_times_of_a_file_begin_at_0_or_later_and_never_fall(steps: list[float], ahead: bool) -> None:
    line, times = FileTimeline(STEP_S), stamps(steps)
    following = [*times[1:], None] if ahead else [None] * len(times)
    placed = [line.place(time, after) for time, after in zip(times, following, strict=True)]
    assert placed[0] >= 0
    assert all(before <= after + 1e-6 for before, after in pairwise(placed))


@given(st.lists(st.floats(0, 9), max_size=40), st.floats(-50, 50))
def test_a_file_whose_times_grow_keeps_every_distance(steps: list[float], start_s: float) -> None:
    line, times = FileTimeline(STEP_S), [start_s + time for time in stamps(steps)]
    placed = [line.place(time) for time in times]
    assert line.jumps == 0
    assert [time - placed[0] for time in placed] == pytest.approx([t - start_s for t in times], abs=1e-6)


@given(
    st.lists(st.tuples(st.one_of(usual, st.floats(-1e5, 1e5)), st.floats(0, 5), st.booleans()), max_size=40)
)
def test_times_of_a_camera_grow_and_stay_near_its_arrivals(moves: list[tuple[float, float, bool]]) -> None:
    line, pts, arrival = LiveTimeline(), 0.0, 100.0
    placed = [line.place(pts, arrival)]
    for step, wait, again in moves:
        pts, arrival = pts + step, arrival + wait
        if again:
            line.reconnected()
        placed.append(line.place(pts, arrival))
    times = [time for time in placed if time is not None]
    assert len(times) == len(placed)
    assert times[0] == 0
    assert all(before < after for before, after in pairwise(times))
    # A camera's clock may run ahead of arrivals by less than a jump, each time it does.
    assert all(b - a <= wait + 10.001 for (a, b), (_, wait, _) in zip(pairwise(times), moves, strict=True))


@given(st.permutations(range(6)), st.booleans())
def test_the_stamps_that_go_back_less_often_are_taken(order: list[int], shown_is_right: bool) -> None:
    best, right, wrong = BestTimes(), 0, list(order)
    chosen = []
    for number in range(60):
        right, jumbled = number * 10, (number // 6) * 60 + wrong[number % 6] * 10
        pts, dts = (right, jumbled) if shown_is_right else (jumbled, right)
        chosen.append((best.choose(pts, dts), right))
    if wrong != sorted(wrong):
        assert all(time == truth for time, truth in chosen[12:])
