"""What a stream takes of the CPU, as a replica measures it."""

from __future__ import annotations

import time

import pytest

from workers.ingest.cpu_use import ASSUMED_CORES, CpuUse


class Process:
    """Clocks of a process: what has passed, and what it has used."""

    def __init__(self) -> None:
        self.now = self.used = 100.0
        self.use = CpuUse(lambda: self.used, lambda: self.now)

    def runs(self, seconds: int, streams: int, cores: float) -> None:
        """Looks twice a second, as a replica does."""
        for _ in range(2 * seconds):
            self.now += 0.5
            self.used += 0.5 * cores
            self.use.look(streams)


@pytest.fixture
def process() -> Process:
    return Process()


def test_nothing_measured_is_what_a_camera_takes_by_the_sizing_table(process: Process) -> None:
    assert process.use.stream_cores == pytest.approx(ASSUMED_CORES)
    # What a replica takes before it reads anything is of its start.
    process.runs(60, streams=0, cores=1.0)
    assert process.use.stream_cores == pytest.approx(ASSUMED_CORES)


@pytest.mark.parametrize("each", [0.005, 0.2])
def test_many_streams_are_soon_known_by_what_they_take(process: Process, each: float) -> None:
    process.runs(10, streams=16, cores=16 * each)
    assert process.use.stream_cores == pytest.approx(each, rel=0.6)
    process.runs(110, streams=16, cores=16 * each)
    assert process.use.stream_cores == pytest.approx(each, rel=0.2)


def test_what_streams_took_once_is_forgotten(process: Process) -> None:
    process.runs(120, streams=16, cores=16 * 0.2)
    process.runs(120, streams=16, cores=16 * 0.02)
    assert process.use.stream_cores == pytest.approx(0.02, rel=0.25)
    process.runs(300, streams=0, cores=0.01)
    assert process.use.stream_cores == pytest.approx(ASSUMED_CORES, rel=0.01)


def test_it_is_the_cpu_of_this_process_that_is_measured() -> None:
    moments = iter([0.0, 10.0])
    use = CpuUse(clock=lambda: next(moments))
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    use.look(1)
    assert use.stream_cores > ASSUMED_CORES / 2 + 0.2 / 20 - 1e-3
