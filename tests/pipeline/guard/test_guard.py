"""A promise is held at the least compute that holds it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.guard.guard import Guard
from pipeline.guard.knob import Knob, Strictness
from pipeline.guard.promise import Promise
from pipeline.tokenizers.registry import TOKENIZERS, kind_of

GUARDED = [name for name, kind in TOKENIZERS.items() if kind.knob and kind.holds is None]


@pytest.mark.parametrize("name", GUARDED)
def test_a_knob_goes_from_what_saves_nothing_over_all_values_that_are_tried(name: str) -> None:
    kind = kind_of(name)
    knob = Knob(kind)
    option = kind.options[knob.name]
    values = [knob.value(position) for position in np.linspace(0, knob.most, 101)]
    assert all(option.holds(value) for value in values)
    assert values in (sorted(values), sorted(values, reverse=True))
    assert set(map(float, option.tries)) <= {float(knob.value(p)) for p in range(int(knob.most) + 1)}
    for value in option.tries:
        assert knob.value(knob.position(value)) == pytest.approx(value)


def test_what_holds_a_cosine_by_itself_is_not_held_to_an_agreement() -> None:
    Promise(0.98).check(kind_of("recall"))
    with pytest.raises(UsageError, match="recall holds a cosine by itself"):
        Promise(0.98, "agreement").check(kind_of("recall"))


@pytest.mark.parametrize("target", [0.4, 1.0, float("nan")])
def test_a_promise_that_nobody_can_want_is_refused(target: float) -> None:
    with pytest.raises(UsageError, match="out of range"):
        Promise(target).check(None)


class Stream:
    """Answers whose errors grow with the knob: at position p, lognormal around `scale` * 4 ** p."""

    def __init__(self, promise: Promise, seed: int = 1) -> None:
        self.knob = Knob(kind_of("merge"))
        self.promise = promise
        self.guard = Guard(self.knob, promise, start=self.knob.value(3.0))
        self._noise = np.random.default_rng(seed)
        self.positions: list[float] = []
        self.missed: list[float] = []
        self.fulls: list[bool] = []

    def run(self, audits: int, scale: float) -> None:
        for _ in range(audits):
            guard = self.guard
            position = self.knob.position(guard.value)
            error = scale * 4**position * float(np.exp(0.3 * self._noise.standard_normal()))
            self.fulls.append(guard.full)
            self.missed.append(0.0 if guard.full else self.promise.missed(error))
            self.positions.append(0.0 if guard.full else position)
            guard.hear(error)


STILL, MOVING, HOSTILE = 1e-4, 1e-3, 0.1


def test_in_the_long_run_no_more_frames_miss_than_may() -> None:
    stream = Stream(Promise(0.98))
    stream.run(3000, MOVING)
    assert np.mean(stream.missed[200:]) <= 0.05
    # Nor is it held by running in full.
    assert np.mean(stream.positions[200:]) > 1


def test_what_was_not_drawn_can_only_warn() -> None:
    stream = Stream(Promise(0.98))
    before = stream.guard.value
    stream.guard.hear(1e-6, drawn=False)
    assert stream.guard.value == before
    stream.guard.hear(0.03, drawn=False)
    assert stream.guard.value < before


def test_a_still_stream_is_let_on_to_the_end_of_the_scale() -> None:
    stream = Stream(Promise(0.98))
    stream.run(600, 1e-7)
    assert stream.positions[-1] == stream.knob.most
    assert not any(stream.missed)


def test_what_begins_to_move_is_tightened_at_once_and_what_stands_still_again_is_let_on() -> None:
    stream = Stream(Promise(0.98))
    stream.run(400, STILL)
    still = np.mean(stream.positions[-50:])
    stream.run(8, 4 * MOVING)
    assert stream.positions[-1] < still - 1.5
    stream.run(400, STILL)
    assert np.mean(stream.positions[-50:]) > still - 0.5


def test_it_does_not_swing() -> None:
    stream = Stream(Promise(0.98))
    stream.run(2000, MOVING)
    settled = np.array(stream.positions[500:])
    assert settled.std() < 0.35
    assert not any(stream.fulls)


def test_a_hostile_stream_ends_in_full_and_is_tried_ever_more_rarely() -> None:
    stream = Stream(Promise(0.98))
    stream.run(3000, HOSTILE)
    assert stream.guard.full
    assert np.mean(stream.fulls[20:]) == 1.0


def test_a_stream_on_the_edge_of_what_can_be_held_keeps_its_promise() -> None:
    stream = Stream(Promise(0.98))
    stream.run(3000, 0.005)
    assert np.mean(stream.missed[100:]) <= 0.05


def test_it_comes_back_from_full_by_itself() -> None:
    stream = Stream(Promise(0.98))
    stream.run(200, HOSTILE)
    assert stream.guard.full
    stream.run(200, STILL)
    assert not stream.guard.full
    assert stream.positions[-1] > 1


@pytest.mark.parametrize("agree", [lambda p: 0.999 - 0.01 * p, lambda p: 1.0 - 0.002 * 4**p])
def test_an_agreement_is_held_in_the_mean(agree: Callable[[float], float]) -> None:
    knob, promise, generator = Knob(kind_of("merge")), Promise(0.97, "agreement"), np.random.default_rng(5)
    guard, errors = Guard(knob, promise, start=knob.value(2.0)), []
    for _ in range(4000):
        error = float(generator.random() > agree(knob.position(guard.value)))
        errors.append(0.0 if guard.full else error)
        guard.hear(error)
    assert np.mean(errors[400:]) <= 0.035


@pytest.mark.parametrize("target", [0.5, 0.95, 0.98, 0.999])
def test_a_held_target_goes_from_what_is_promised_to_what_saves_nothing(target: float) -> None:
    scale, option = Strictness("target", Promise(target)), kind_of("recall").options["target"]
    values = [scale.value(position) for position in np.linspace(0, scale.most, 31)]
    assert values == sorted(values, reverse=True)
    assert all(option.holds(value) for value in values)
    assert values[-1] == target
    # A position less halves what is allowed.
    assert 1 - scale.value(scale.most - 1) == pytest.approx((1 - target) / 2)
    for position in (0.0, 0.5, 1.0, 2.7, scale.most):
        assert scale.position(scale.value(position)) == pytest.approx(position)
    # A target that is less than promised lies at the end.
    assert scale.position(target / 2) == scale.most


def test_answers_that_are_right_or_far_off_hold_a_target_too() -> None:
    promise, chance = Promise(0.98), np.random.default_rng(3)
    scale = Strictness("target", promise)
    guard, missed = Guard(scale, promise, promise.target, most_ease=1.0), []
    for _ in range(4000):
        # Half of the answers ran in full; three in ten of the others miss, fewer where it is stricter.
        misses = 0.3 * 2 ** (scale.position(guard.value) - scale.most)
        off = chance.random() < 0.5 and chance.random() < misses
        missed.append(off and not guard.full)
        guard.hear(0.05 if off else 0.0)
    assert np.mean(missed[500:]) <= 0.05
    assert (guard.looks, guard.tightened) == (4000, True)
    assert guard.missed >= sum(missed)
