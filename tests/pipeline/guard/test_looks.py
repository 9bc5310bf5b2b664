"""Looks beside the audits keep to a budget, and there are more where they matter."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.guard.audits import Draw
from pipeline.guard.looks import Looks

SHARE = 0.02


def looked(frames: int, costs: float, alarmed: bool = False, audits: float = 0.0) -> list[bool]:
    """Which of so many frames are looked at, if a check takes `costs` of a full run."""
    looks, draw, found = Looks(SHARE, seed=4), Draw(audits, seed=4), []
    for _ in range(frames):
        drawn = draw.of(1) is not None
        due = looks.of(1, alarmed) is not None
        found.append(due and not drawn)
        if drawn or due:
            looks.took(costs)
    return found


@pytest.mark.parametrize(("alarmed", "budget"), [(False, SHARE), (True, 2 * SHARE)])
@pytest.mark.parametrize("costs", [0.1, 0.5, 1.0])
def test_looks_stay_within_their_share_of_the_operations(alarmed: bool, budget: float, costs: float) -> None:
    found = looked(5000, costs, alarmed)
    # And what a stream may spend in advance.
    assert costs * sum(found) <= 5000 * budget + 4
    # Cheap ones are not all that could be paid: more than one frame in ten or in four would tell little more.
    assert costs * sum(found) > 0.8 * min(5000 * budget, 5000 * costs * (0.25 if alarmed else 0.1))


def test_audits_come_out_of_the_same_budget() -> None:
    alone, beside = looked(5000, 1.0), looked(5000, 1.0, audits=SHARE)
    assert sum(alone) > 90
    assert sum(beside) < 30


def test_a_young_stream_is_looked_at_more_than_it_is_later() -> None:
    found = looked(5000, 0.5, audits=SHARE)
    assert np.mean(found[:100]) > 2 * np.mean(found[100:])


def test_which_frames_are_looked_at_has_nothing_to_do_with_which_are_audited() -> None:
    looks, draw = Looks(1.0, seed=7), Draw(0.25, seed=7)
    both = np.array([[looks.of(1, True) is not None, draw.of(1) is not None] for _ in range(8000)])
    assert abs(np.corrcoef(both.T)[0, 1]) < 0.04


def test_of_a_batch_one_frame_is_looked_at() -> None:
    looks = Looks(1.0, seed=1)
    rows = [looks.of(8, False) for _ in range(500)]
    found = [row for row in rows if row is not None]
    assert 0.4 < len(found) / len(rows) < 0.75
    assert set(found) == set(range(8))
