"""Two clocks, and one span. The device is made up: that real events agree needs a card (`tests/gpu`)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from pipeline.cuda_timeline import Anchors, with_planning

# A device whose clock runs too fast by as much as was met in the field.
DRIFT = 20e-6


@dataclass
class Host:
    """The host's clock; an answer of the device takes a while."""

    now_s: float = 1000.0
    answers_in_s: float = 20e-6

    def clock(self) -> float:
        return self.now_s


@dataclass
class DeviceEvent:
    """An event on a device whose clock drifts."""

    host: Host
    at_s: float

    def synchronize(self) -> None:
        self.host.now_s = max(self.host.now_s, self.at_s) + self.host.answers_in_s

    def elapsed_time(self, end_event: DeviceEvent) -> float:
        return 1000 * (end_event.at_s - self.at_s) * (1 + DRIFT)


def anchors_of(host: Host) -> Anchors:
    return Anchors(lambda: DeviceEvent(host, host.now_s), host.clock)


def test_an_hour_of_drift_does_not_add_up():
    host = Host()
    anchors = anchors_of(host)
    worst_s = 0.0
    for _ in range(3600):
        host.now_s += 1.0
        anchor, event = anchors.latest(), DeviceEvent(host, host.now_s + 0.005)
        worst_s = max(worst_s, abs(anchor.seconds(event) - event.at_s))
    # 72 ms by one anchor; half a minute's .6 ms by these, and half of an answer.
    assert worst_s < 0.7e-3


def test_marks_of_one_batch_are_told_by_one_anchor_also_while_a_new_one_is_due():
    host = Host()
    anchors = anchors_of(host)
    host.now_s += 29.9
    anchor = anchors.latest()
    host.now_s += 0.2
    assert anchors.latest() is not anchor
    start, end = DeviceEvent(host, host.now_s), DeviceEvent(host, host.now_s + 1e-5)
    assert anchor.seconds(end) - anchor.seconds(start) == pytest.approx(1e-5, abs=1e-7)


def test_a_host_that_was_held_up_while_it_looked_looks_again():
    host = Host()
    answers = iter([0.05, 20e-6])

    def record() -> DeviceEvent:
        host.answers_in_s = next(answers)
        return DeviceEvent(host, host.now_s)

    event = DeviceEvent(host, 1000.5)
    assert Anchors(record, host.clock).latest().seconds(event) == pytest.approx(1000.5, abs=1e-4)


def test_a_batch_is_metered_from_its_upload_on():
    assert with_planning((1.0, 1.2), (1.2, 1.5)) == pytest.approx((1.0, 1.5))
    # Planned while the one before it still ran, until 3.0.
    assert with_planning((2.0, 2.2), (3.0, 3.5)) == pytest.approx((2.8, 3.5))
    assert with_planning(None, (3.0, 3.5)) == (3.0, 3.5)
