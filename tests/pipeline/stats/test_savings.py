"""What audits prove of a stream's saving."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.guard.audits import Audits
from pipeline.results import Audit, FrameResult
from pipeline.stats.savings import Savings, saving_text
from tests.pipeline.outputs.examples import a_result

STREAM = Audits().fidelity()


def audit(cost: float) -> Audit:
    return Audit(0.99, None, None, cost, STREAM)


def plain(number: int, joules: float, share: float = 0.4) -> FrameResult:
    return a_result(number, share=share, device_ms=10 * joules)


def audited(number: int, joules: float, full: float, share: float = 0.4) -> FrameResult:
    """Answered in a pass with a whole frame beside it; operations split it as energy is."""
    whole = joules + full
    return a_result(number, share=share, device_ms=10 * whole, fidelity=audit(1 / (1 + share)))


def test_before_the_first_audit_nothing_is_said() -> None:
    savings = Savings()
    savings.add(plain(0, 0.4))
    savings.energy(0, 0.4)
    assert savings.to_dict() is None


def test_a_frame_is_held_against_the_audited_one_behind_it() -> None:
    savings = Savings()
    for number in range(0, 400, 2):
        savings.add(plain(number, 0.4))
        savings.energy(number, 0.4)
        savings.add(audited(number + 1, 0.4, 1.0))
        savings.energy(number + 1, 1.4)
    found = savings.to_dict()
    assert found is not None
    assert found["audits"] == 200
    for name in ("time", "joules"):
        assert found[name]["mean"] == pytest.approx(0.6, abs=0.01)
        assert found[name]["low"] < 0.6 < found[name]["high"]
        assert found[name]["high"] - found[name]["low"] < 0.3
    assert found["operations"] == {"mean": 0.6, "low": 0.6, "high": 0.6}
    assert saving_text(found).startswith("60 % of the operations, 60 % (")


def test_with_few_audits_it_is_said_how_many_bounds_need() -> None:
    savings = Savings()
    told = []
    for number in range(0, 160, 2):
        savings.add(plain(number, 0.4))
        savings.add(audited(number + 1, 0.4, 1.0))
        found = savings.to_dict()
        assert found is not None
        told.append(saving_text(found))
    assert told[4] == (
        "60 % of the operations, 60 % of the time, by 5 frames answered in full, too (bounds need about 60)"
    )
    # The first one sets the scale.
    need = ["need about 60" in text for text in told]
    assert sum(need) in range(30, 60)
    assert need == [False, *[True] * sum(need), *[False] * (len(told) - 1 - sum(need))]
    assert "of the operations, 60 % (" in told[-1]


def test_energy_that_is_known_late_counts_the_same() -> None:
    at_once, late = Savings(), Savings()
    told = []
    for number in range(0, 200, 2):
        for savings in (at_once, late):
            savings.add(plain(number, 0.4))
            savings.add(audited(number + 1, 0.4, 1.0))
        for frame, joules in ((number, 0.4), (number + 1, 1.4)):
            at_once.energy(frame, joules)
            told.append((frame, joules))
    for frame, joules in told:
        late.energy(frame, joules)
    first, second = at_once.to_dict(), late.to_dict()
    assert first is not None
    assert second is not None
    # The scale comes with the first that is known in full.
    assert second["joules"]["mean"] == pytest.approx(first["joules"]["mean"], abs=0.01)


def test_a_held_frame_saves_all_that_its_audit_cost() -> None:
    savings = Savings()
    for number in range(0, 400, 2):
        savings.add(a_result(number, share=0.0, device_ms=0.0, decision="hold"))
        held = a_result(number + 1, share=0.0, device_ms=20.0, decision="hold", fidelity=audit(1.0))
        savings.add(held)
    found = savings.to_dict()
    assert found is not None
    assert found["time"]["mean"] == pytest.approx(1.0)
    assert found["time"]["low"] > 0.75


def test_a_frame_that_costs_more_than_in_full_is_said_to() -> None:
    savings = Savings()
    for number in range(0, 200, 2):
        savings.add(plain(number, 1.3, share=1.1))
        savings.add(audited(number + 1, 1.1, 1.0, share=1.1))
    found = savings.to_dict()
    assert found is not None
    assert found["time"]["mean"] == pytest.approx(-0.3, abs=0.02)


def test_what_runs_in_full_for_its_guard_saves_nothing() -> None:
    savings = Savings()
    for number in range(0, 200, 2):
        savings.add(plain(number, 1.0, share=1.0))
        # Looking at the tokenizer took 0.4 beside.
        savings.add(a_result(number + 1, share=1.0, device_ms=14.0, probed=1 / 1.4))
    found = savings.to_dict()
    assert found is not None
    assert found["time"]["mean"] == pytest.approx(0, abs=0.01)


def test_bounds_are_wrong_for_at_most_one_stream_in_twenty_though_looked_at_after_every_audit() -> None:
    random = np.random.default_rng(7)
    streams, wrong = 200, 0
    for _ in range(streams):
        savings, number, failed = Savings(), 0, False
        for _ in range(80):
            # Between a tenth and all of a frame; one in full takes 0.7 to 1.3.
            taken, own = random.uniform(0.1, 1.0, 2)
            full = random.uniform(0.7, 1.3)
            savings.add(plain(number, taken))
            # Energy and operations of a pass are split in the same way here.
            ratio = own / full
            savings.add(
                a_result(
                    number + 1, share=ratio, device_ms=10 * (own + full), fidelity=audit(1 / (1 + ratio))
                )
            )
            number += 2
            found = savings.to_dict()
            assert found is not None
            low, high = found["time"]["low"], found["time"]["high"]
            failed |= low is not None and not low <= 0.45 <= high
        wrong += failed
    assert wrong <= streams / 20
