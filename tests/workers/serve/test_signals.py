"""How a service is told to stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from workers.serve.signals import Signals, Stop


@pytest.fixture
def signals() -> Iterator[Signals]:
    """Of this process, for as long as the test takes."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    found = Signals()
    found.listen()
    yield found
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_it_stops_where_it_is(signals: Signals, number: signal.Signals) -> None:
    del signals
    with pytest.raises(Stop):
        os.kill(os.getpid(), number)


def connect(signals: Signals, number: signal.Signals, done: list[str], fails: bool = False) -> None:
    """As a library would that is told to stop on the way."""
    with signals.held():
        os.kill(os.getpid(), number)
        done.append("half")
        if fails:
            raise OSError("a process of it is gone")
        done.append("whole")


def test_what_cannot_be_interrupted_is_done_first(signals: Signals) -> None:
    done: list[str] = []
    with pytest.raises(Stop):
        connect(signals, signal.SIGINT, done)
    assert done == ["half", "whole"]


def test_what_fails_once_it_was_told_to_stop_is_no_error(signals: Signals) -> None:
    done: list[str] = []
    with pytest.raises(Stop):
        connect(signals, signal.SIGTERM, done, fails=True)
    assert done == ["half"]


def test_without_a_signal_nothing_is_held_back(signals: Signals) -> None:
    with pytest.raises(OSError, match="gone"), signals.held():
        raise OSError("gone")
    with signals.held():
        pass
    with pytest.raises(Stop):
        os.kill(os.getpid(), signal.SIGINT)
