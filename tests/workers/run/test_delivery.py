import json
from pathlib import Path

import av
import pytest

from pipeline.energy import Ledger, NoMeter, Reading, ReplayMeter
from pipeline.errors import UsageError, VwtError
from tests.pipeline.outputs.examples import a_result, clip_frames
from workers.run.delivery import Delivery


def metered() -> Ledger:
    """A ledger over a counter of 100 W that ticks once a second, at 4 s of its recording."""
    meter = ReplayMeter([Reading(t, 100 * t) for t in range(13)])
    ledger = Ledger(meter, clock=meter.clock)
    for _ in range(5):
        ledger.poll()
    return ledger


def unmetered() -> Ledger:
    return Ledger(NoMeter())


def add(delivery: Delivery, ledger: Ledger, frames: range) -> None:
    """A batch as the runner hands it over."""
    energies = ledger.record(3.0, 4.0, [1.0] * len(frames), frames)
    results = [a_result(number, energy=energy) for number, energy in zip(frames, energies, strict=True)]
    pictures = clip_frames("carphone_pristine.mp4", [number / 25 for number in frames])
    delivery.add(results, pictures, [None] * len(frames))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def pictures_in(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_results_with_nothing_to_wait_for_are_in_the_file_at_once(tmp_path: Path) -> None:
    ledger = unmetered()
    delivery = Delivery(ledger, str(tmp_path / "out"), None, None)
    add(delivery, ledger, range(3))
    delivery.deliver()
    assert [line["frame"] for line in lines(tmp_path / "out")] == [0, 1, 2]
    add(delivery, ledger, range(3, 5))
    delivery.deliver()
    assert [line["frame"] for line in lines(tmp_path / "out")] == [0, 1, 2, 3, 4]
    delivery.close()


def test_results_wait_for_the_counter_and_are_written_with_its_figures(tmp_path: Path) -> None:
    ledger = metered()
    delivery = Delivery(ledger, str(tmp_path / "out"), None, None)
    add(delivery, ledger, range(4))
    assert delivery.stats.frames == 4
    assert delivery.stats.energy_summary().settled_share == 0
    for _ in range(4):
        ledger.poll()
    delivery.deliver()
    written = [line["energy"] for line in lines(tmp_path / "out")]
    assert [(energy["joules"], energy["settled"]) for energy in written] == [(25.0, True)] * 4
    assert delivery.stats.energy_summary().settled_share == 1
    assert delivery.stats.energy_summary().joules == pytest.approx(100)
    delivery.close()


def test_closing_settles_and_writes_what_still_waits(tmp_path: Path) -> None:
    ledger = metered()
    delivery = Delivery(ledger, str(tmp_path / "out"), None, None)
    add(delivery, ledger, range(2))
    delivery.close()
    assert [line["energy"]["settled"] for line in lines(tmp_path / "out")] == [True, True]
    assert delivery.stats.energy_summary().joules == pytest.approx(100)


def test_every_result_becomes_a_picture_of_the_annotated_clip(tmp_path: Path) -> None:
    ledger = unmetered()
    delivery = Delivery(ledger, None, str(tmp_path / "clip.mp4"), 25.0)
    for first in (0, 4):
        add(delivery, ledger, range(first, first + 4))
        delivery.deliver()
    delivery.close()
    assert pictures_in(tmp_path / "clip.mp4") == 8


def test_without_outputs_results_are_only_counted() -> None:
    ledger = unmetered()
    delivery = Delivery(ledger, None, None, None)
    add(delivery, ledger, range(3))
    delivery.close()
    assert delivery.stats.frames == 3


@pytest.mark.parametrize("delivered", [True, False])
def test_a_full_disk_is_told_once_and_also_at_the_end(delivered: bool) -> None:
    ledger = unmetered()
    delivery = Delivery(ledger, "/dev/full", None, None)
    add(delivery, ledger, range(2))
    with pytest.raises(VwtError, match="No space left on device"):
        delivery.deliver() if delivered else delivery.close()
    delivery.close()


@pytest.mark.parametrize("full", ["out", "clip"])
def test_what_one_output_cannot_take_the_other_still_gets(full: str, tmp_path: Path) -> None:
    paths = {"out": str(tmp_path / "out"), "clip": str(tmp_path / "clip.mp4")} | {full: "/dev/full"}
    ledger = unmetered()
    delivery = Delivery(ledger, paths["out"], paths["clip"], 25.0)
    failures = []
    for first in range(0, 60, 10):
        add(delivery, ledger, range(first, first + 10))
        for last in (False, True) if first == 50 else (False,):
            try:
                delivery.close() if last else delivery.deliver()
            except VwtError as error:
                failures.append(str(error))
    assert failures
    assert all("/dev/full: No space left" in line for line in failures)
    if full == "clip":
        assert [line["frame"] for line in lines(tmp_path / "out")] == list(range(60))
    else:
        assert pictures_in(tmp_path / "clip.mp4") == 60


def test_a_path_that_cannot_be_written_is_refused_by_its_option(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write --annotate"):
        Delivery(unmetered(), None, str(tmp_path / "none" / "clip.mp4"), None)
