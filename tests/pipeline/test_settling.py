from pipeline.results import Energy
from pipeline.settling import Settling
from tests.pipeline.outputs.examples import a_result

PROVISIONAL = Energy(1.0, 0.5, "nvml", settled=False)
SETTLED = Energy(2.0, 1.5, "nvml", settled=True)
UNKNOWN = Energy(reason="no counter")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def numbers(settling: Settling[str], everything: bool = False) -> list[int]:
    return [result.frame for result, _ in settling.ready(everything)]


def waiting(*frames: int, clock: Clock | None = None, capacity: int = 256) -> Settling[str]:
    settling: Settling[str] = Settling(patience_s=0.5, capacity=capacity, clock=clock or Clock())
    for frame in frames:
        settling.add(a_result(frame, energy=PROVISIONAL), f"payload {frame}")
    return settling


def test_a_settled_result_leaves_at_once_with_its_payload() -> None:
    settling: Settling[str] = Settling(clock=Clock())
    result = a_result(0, energy=SETTLED)
    settling.add(result, "payload")
    assert list(settling.ready()) == [(result, "payload")]
    assert list(settling.ready()) == []


def test_a_result_whose_energy_is_unknown_has_nothing_to_wait_for() -> None:
    settling: Settling[str] = Settling(clock=Clock())
    settling.add(a_result(0, energy=UNKNOWN), "payload")
    assert numbers(settling) == [0]


def test_a_provisional_result_waits_for_its_figure_and_leaves_with_it() -> None:
    settling = waiting(0)
    assert numbers(settling) == []
    settling.settle([(0, SETTLED)])
    ((result, payload),) = settling.ready()
    assert result.energy == SETTLED
    assert payload == "payload 0"


def test_a_figure_that_turns_out_unknown_ends_the_wait_too() -> None:
    settling = waiting(0)
    settling.settle([(0, UNKNOWN)])
    ((result, _),) = settling.ready()
    assert result.energy == UNKNOWN


def test_results_leave_in_order_though_a_later_one_settles_first() -> None:
    settling = waiting(0, 1, 2)
    settling.settle([(2, SETTLED), (1, SETTLED)])
    assert numbers(settling) == []
    settling.settle([(0, SETTLED)])
    assert numbers(settling) == [0, 1, 2]


def test_out_of_patience_a_result_leaves_with_its_provisional_figure() -> None:
    clock = Clock()
    settling = waiting(0, clock=clock)
    clock.now = 0.4
    settling.add(a_result(1, energy=PROVISIONAL), "")
    assert numbers(settling) == []
    clock.now = 0.5
    ((result, _),) = settling.ready()
    assert result.energy == PROVISIONAL
    clock.now = 0.9
    assert numbers(settling) == [1]


def test_over_capacity_the_oldest_leave_early() -> None:
    assert numbers(waiting(0, 1, 2, 3, 4, capacity=3)) == [0, 1]


def test_at_the_end_everything_leaves() -> None:
    assert numbers(waiting(0, 1, 2), everything=True) == [0, 1, 2]


def test_a_figure_for_a_result_that_has_left_changes_nothing() -> None:
    settling = waiting(0, 1)
    settling.settle([(7, SETTLED)])
    assert numbers(settling) == []
    settling.settle([])
    assert [result.energy for result, _ in settling.ready(everything=True)] == [PROVISIONAL, PROVISIONAL]
