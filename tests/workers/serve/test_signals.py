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


def test_one_that_a_library_kept_to_itself_is_not_lost(signals: Signals) -> None:
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        # As libraries do in their callbacks.
        pass
    with pytest.raises(Stop):
        signals.listen()
