"""Who gives way, and who gets what: in replay, with streams that answer as real ones do."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from pipeline.guard.guarded import Guarded
from pipeline.guard.promise import Watch
from pipeline.tokenizers.registry import kind_of
from pipeline.tokenizers.stream import StreamNeeds
from workers.inference.filling import fill
from workers.inference.sharing import Done, Sharing
from workers.ingest.pace import Pace
from workers.settings.budget import Budget

FULL = 10e9


def watched(least: float | None = None) -> Guarded:
    kind = kind_of("recall")
    return Guarded(kind, kind.check({}), kind.open({}, StreamNeeds()), Watch(least=least))


@dataclass
class Camera:
    """Frames at a rate; each costs by the target that is kept, as recall's do: less for a lower one."""

    name: str
    fps: float
    guarded: Guarded
    priority: float = 1.0
    owed: float = 0.0
    answered: int = 0
    spent: float = 0.0

    @property
    def cost(self) -> float:
        assert self.guarded.target is not None
        return FULL * (0.02 / (1 - self.guarded.target)) ** 0.5


class Machine:
    """One device that does so many operations a second, and the loop of Ingest around it."""

    def __init__(self, flops: float, cameras: list[Camera], budget: Budget | None = None) -> None:
        self.now = 0.0
        self.cameras = cameras
        self.sharing = Sharing(budget, clock=lambda: self.now)
        self._flops = flops
        self._free_s = 0.0
        self._paces = {camera.name: Pace(lambda: self.now) for camera in cameras}
        self._order = random.Random(0)

    def run(self, seconds: float) -> dict[str, float]:
        """Frames per second that each camera was answered."""
        before = {camera.name: (camera.answered, camera.spent) for camera in self.cameras}
        begun = self.now
        while self.now < begun + seconds:
            self.now += 0.005
            for camera in self._order.sample(self.cameras, len(self.cameras)):
                self._step(camera)
        self.used = sum(c.spent - before[c.name][1] for c in self.cameras) / seconds
        return {c.name: (c.answered - before[c.name][0]) / seconds for c in self.cameras}

    def _step(self, camera: Camera) -> None:
        camera.owed += 0.005 * camera.fps
        if camera.owed < 1 or self.now < self._free_s or self._paces[camera.name].wait_s():
            return
        # The newest of those that came; the others are late.
        late, camera.owed = int(camera.owed) - 1, camera.owed % 1
        took_s = camera.cost / self._flops
        done = Done(1, late, int(camera.cost), FULL, [(self.now, took_s)])
        self._free_s = self.now + took_s
        camera.answered += 1
        camera.spent += camera.cost
        self.sharing.ran(camera.name, camera.guarded, camera.priority, live=True, done=done)
        self._paces[camera.name].sent(1, self.sharing.interval_s(camera.name))


def test_water_fills_up_to_what_is_wanted_and_by_weight_above() -> None:
    wanted = {"small": 1.0, "one": 50.0, "two": 50.0, "file": float("inf")}
    got = fill(41, wanted, {"small": 1, "one": 1, "two": 2, "file": 1})
    assert got == pytest.approx({"small": 1, "one": 10, "two": 20, "file": 10})
    assert fill(500, {"one": 50.0, "two": 50.0}, {"one": 1, "two": 9}) == {"one": 50, "two": 50}


def test_with_enough_for_all_nobody_gives_way() -> None:
    cameras = [Camera("a", 5, watched(0.9)), Camera("b", 5, watched(0.9), priority=3)]
    machine = Machine(20 * FULL, cameras)
    assert machine.run(60) == pytest.approx({"a": 5, "b": 5}, abs=0.1)
    assert [machine.sharing.share(c.name) for c in cameras] == [None, None]


def test_quality_gives_way_before_frames_do_the_least_important_first() -> None:
    cameras = [Camera("door", 10, watched(0.9), priority=4), Camera("yard", 10, watched(0.9))]
    machine = Machine(16 * FULL, cameras)
    machine.run(60)
    assert cameras[1].guarded.target is not None
    assert cameras[1].guarded.target < 0.98
    assert cameras[0].guarded.target == 0.98
    assert machine.run(30) == pytest.approx({"door": 10, "yard": 10}, abs=0.3)
    share = machine.sharing.share("yard")
    assert share is not None
    assert "instead of 0.98, giving way to the load" in share.text()


def test_targets_rise_again_when_there_is_room() -> None:
    cameras = [Camera("door", 10, watched(0.9)), Camera("yard", 10, watched(0.9))]
    machine = Machine(16 * FULL, cameras)
    machine.run(60)
    assert min(c.guarded.given for c in cameras) < 1 <= sum(1 for c in cameras if c.guarded.given)
    cameras[1].fps = 1
    machine.run(300)
    assert [c.guarded.target for c in cameras] == [0.98, 0.98]


def test_none_gives_more_than_it_allows() -> None:
    cameras = [Camera("a", 25, watched(0.95)), Camera("b", 25, watched())]
    Machine(10 * FULL, cameras).run(120)
    assert [c.guarded.target for c in cameras] == [0.95, 0.98]


def test_under_overload_frames_go_by_priority_and_the_device_stays_full() -> None:
    cameras = [Camera("door", 25, watched(), priority=3), Camera("yard", 25, watched())]
    machine = Machine(12 * FULL, cameras)
    machine.run(60)
    fps = machine.run(60)
    assert fps["door"] / fps["yard"] == pytest.approx(3, rel=0.15)
    assert sum(fps.values()) > 0.85 * 12


@pytest.mark.parametrize(("fps", "room"), [(1.0, True), (25.0, False)])
def test_it_tells_whether_there_is_room_for_more_frames(fps: float, room: bool) -> None:
    machine = Machine(10 * FULL, [Camera(name, fps, watched()) for name in "abc"])
    machine.run(30)
    assert machine.sharing.room is room


def test_streams_of_equal_priority_are_left_to_the_device() -> None:
    cameras = [Camera("door", 25, watched()), Camera("yard", 25, watched())]
    machine = Machine(12 * FULL, cameras)
    machine.run(60)
    assert [machine.sharing.interval_s(c.name) for c in cameras] == [None, None]


@pytest.mark.parametrize("least", [None, 0.9])
def test_a_budget_is_kept_and_shared_by_priority(least: float | None) -> None:
    budget = Budget(gflops=6 * FULL / 1e9)
    cameras = [Camera("door", 25, watched(least), priority=2), Camera("yard", 25, watched(least))]
    machine = Machine(100 * FULL, cameras, budget)
    machine.run(60)
    fps = machine.run(120)
    assert machine.used == pytest.approx(6 * FULL, rel=0.05)
    spent = {c.name: fps[c.name] * c.cost for c in cameras}
    assert spent["door"] / spent["yard"] == pytest.approx(2, rel=0.1)
    # Where quality may give way it buys frames: a frame at .9 costs .45 of one at .98.
    assert sum(fps.values()) == pytest.approx(6 if least is None else 6 / 0.447, rel=0.1)
    share = machine.sharing.share("yard")
    assert share is not None
    assert share.budget is not None
    assert share.budget["used"] == pytest.approx(60, rel=0.1)
    assert "giving way to the budget of 60 gflops" in share.text()


def test_a_budget_of_less_than_a_frame_in_a_while_is_kept_as_well() -> None:
    cameras = [Camera("door", 5, watched(), priority=4), Camera("yard", 5, watched())]
    machine = Machine(100 * FULL, cameras, Budget(gflops=FULL / 1e9 / 4))
    machine.run(60)
    machine.run(240)
    assert machine.used == pytest.approx(FULL / 4, rel=0.15)


def test_what_one_stream_does_not_want_of_a_budget_others_get() -> None:
    cameras = [Camera("door", 1, watched(), priority=9), Camera("yard", 25, watched())]
    machine = Machine(100 * FULL, cameras, Budget(gflops=6 * FULL / 1e9))
    machine.run(60)
    assert machine.run(120) == pytest.approx({"door": 1, "yard": 5}, rel=0.1)


def test_a_budget_of_cores_follows_what_a_core_does() -> None:
    cameras = [Camera("door", 25, watched())]
    machine = Machine(20 * FULL, cameras, Budget(cores=0.5))
    machine.run(60)
    assert machine.run(60)["door"] == pytest.approx(10, rel=0.1)


def test_a_budget_of_watts_follows_what_a_joule_buys() -> None:
    camera = Camera("door", 25, watched())
    machine = Machine(100 * FULL, [camera], Budget(watts=8))
    rates = []
    for _ in range(1200):
        rates.append(machine.run(0.1)["door"])
        # Two joules a frame, told later.
        machine.sharing.metered(2 * 0.1 * rates[-1])
    assert sum(rates[600:]) / 600 == pytest.approx(4, rel=0.1)
