"""Which frames a stream sends that sends one at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from workers.ingest.evenly import Evenly
from workers.ingest.pace import Pace

RATE, WAITING = 25, 4
Pick = Callable[[Sequence[float | None]], int]


def newest(times_s: Sequence[float | None]) -> int:
    return len(times_s) - 1


def sent(pick: Pick, answer_s: float, varies: float, paced: bool = False) -> tuple[float, float]:
    """How uneven the frames are, and how many of their distances they are behind the newest.

    Args:
        pick: as `Evenly.pick`.
        answer_s: that an answer takes on average.
        varies: deviation of its logarithm.
        paced: whether `Pace` says when the next one goes.
    """
    chance, queue, picked, lags = np.random.default_rng(0), deque[float](maxlen=WAITING), [], []
    due_s = now_s = answered_s = 0.0
    pace = Pace(lambda: now_s)
    for number in range(60 * RATE):
        queue.append(number / RATE)
        now_s = number / RATE
        if now_s < due_s or (paced and pace.wait_s()):
            continue
        if answered_s:
            pace.answered(answered_s)
        at = pick(queue)
        lags.append(queue[-1] - queue[at])
        picked.append(queue[at])
        for _ in range(at + 1):
            queue.popleft()
        answered_s = answer_s * float(chance.lognormal(-(varies**2) / 2, varies))
        due_s = max(due_s, now_s) + answered_s
        pace.sent(1, None, most=1)
    distances = np.diff(picked)
    return float(distances.std() / distances.mean()), float(np.mean(lags) / distances.mean())


@pytest.mark.parametrize("answer_s", [0.15, 0.3])
def test_frames_are_evenly_spaced_though_answers_take_unevenly_long(answer_s: float) -> None:
    uneven, _ = sent(newest, answer_s, varies=0.45)
    even, lag = sent(Evenly().pick, answer_s, varies=0.45)
    assert uneven > 0.38
    assert even < 0.35
    assert even < 0.8 * uneven
    assert lag < 0.5
    at_a_pace, lag = sent(Evenly().pick, answer_s, varies=0.45, paced=True)
    assert at_a_pace < 0.95 * even
    assert lag < 0.5


def test_frames_without_a_time_give_way_to_the_newest_one() -> None:
    evenly = Evenly()
    assert evenly.pick([0.0, 0.04]) == 1
    assert evenly.pick([0.08, None, 0.16]) == 2
    assert evenly.pick([0.2, 0.24]) == 1


def test_a_clock_that_goes_back_begins_anew() -> None:
    evenly = Evenly()
    for number in range(20):
        evenly.pick([0.1 * number])
    evenly.pick([0.0])
    assert evenly.pick([0.04, 0.08, 0.12]) == 2
    assert evenly.pick([0.16, 0.2, 0.24]) == 2
