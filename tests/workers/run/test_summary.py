import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from pipeline.errors import UsageError, VwtError
from pipeline.guard.audits import Audits
from pipeline.guard.compare import Compared
from pipeline.guard.stream_fidelity import GuardStatus
from pipeline.results import Energy, Label, Prediction, Region
from pipeline.sources import Decoding
from pipeline.stats import RunStats
from tests.pipeline.outputs.examples import a_result
from workers.run.summary import print_summary, write_json_summary


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def a_run(frames: int = 100, **facts: object) -> RunStats:
    clock = Clock()
    stats = RunStats(clock)
    for frame in range(frames):
        clock.now += 0.04
        stats.add(a_result(frame, **facts))
    return stats


def printed(stats: RunStats, *arguments: object) -> str:
    console = Console(file=io.StringIO(), width=60)
    print_summary(stats, console, *arguments)
    return console.file.getvalue()


def test_the_summary_tells_frames_rate_tokens_energy_and_latency() -> None:
    energy = Energy(0.4123, 0.28, "estimate", settled=True)
    stats = a_run(energy=energy, vocab_version=1, share=0.4, dropped={"late": 1})
    text = printed(stats, "estimate: CPU time x 5 W per core")
    assert "100 in 4.0 s, 25.0 frames/s" in text
    assert "100 frames, 50.0 % of tokens kept, 40 % of the operations of full, 0.412 J each" in text
    assert "0.412 J/frame, 0.28 J above idle (estimate: CPU time x 5 W per core)" in text
    assert "p50 12.0 ms, p99 12.0 ms" in text
    assert "p50 10.0 ms, p99 10.0 ms" in text
    assert "100 late" in text


def test_audits_are_told_and_their_joules_apart_from_those_of_the_frames() -> None:
    audits = Audits()
    audits.ran(25)
    same = np.ones(4, np.float32)
    audit = audits.add(Compared(same, same, 1.0, 75), 25)
    stats = a_run(3, energy=Energy(2.0, None, "nvml", settled=True), vocab_version=1)
    whole = Energy(8.0, None, "nvml", settled=True)
    stats.add(a_result(3, energy=whole, fidelity=audit, vocab_version=1))
    assert stats.audit_joules == pytest.approx(6.0)
    assert stats.to_dict()["energy"]["audit_joules"] == pytest.approx(6.0)
    assert stats.steady.joules(1.0) == pytest.approx(2.0, rel=0.02)

    class Watched:
        fidelity, guard = audits.fidelity(), GuardStatus(0.98, "cosine", "holding", "r", 8.0)

    text = printed(stats, None, (), Watched)
    assert "1 frames answered in full, too: cosine 1.0000, 0 % below 0.98" in text
    assert "75.0 % of the operations, 6 J" in text
    assert "holding 0.98 (cosine) at --r 8" in text


def test_what_was_decoded_is_told_where_less_than_all_was_asked_for() -> None:
    stats = a_run(3)
    assert "decoded      50 of 200 frames (needed)" in printed(
        stats, None, (), None, Decoding("needed", None, 200, 50)
    )
    whole = printed(stats, None, (), None, Decoding("all", "it is damaged", 200, 199))
    assert "199 of 200 frames (all): it is damaged" in whole
    assert "decoded" not in printed(stats, None, (), None, Decoding("all", None, 200, 200))


def test_without_a_description_the_method_of_the_energy_is_named() -> None:
    assert "2 J/frame (nvml)" in printed(a_run(energy=Energy(2.0, None, "nvml", settled=True)))


def test_unknown_energy_is_given_with_its_reason() -> None:
    assert "unknown: no counter" in printed(a_run(energy=Energy(reason="no counter")))


def test_figures_for_some_frames_only_or_not_settled_are_marked() -> None:
    stats = a_run(3, energy=Energy(2.0, None, "nvml", settled=True))
    stats.add(a_result(3, energy=Energy(None, None, "nvml", settled=False)))
    text = printed(stats)
    assert "known for 3 of 4 frames" in text
    assert "75 % settled" in text


def test_warm_up_and_vocabulary_versions_are_told() -> None:
    stats = a_run(64, energy=Energy(2.0, None, "nvml", settled=True))
    for frame, joules in ((64, 1.0), (65, 1.2)):
        energy = Energy(joules, None, "nvml", settled=True)
        stats.add(a_result(frame, vocab_version=frame - 63, energy=energy))
    text = printed(stats)
    assert "64 frames in full until there were words, 2 J each (median)" in text
    assert "1.1 J each (mean), 45 % less than in full (quartiles 40 to 50 % saved)" in text
    assert "versions 1 to 2" in text


def test_what_was_predicted_is_told() -> None:
    prediction = Prediction("labels", labels=[Label("bus", 0.9)])

    assert "mostly bus (100 frames)" in printed(a_run(prediction=prediction))


def test_what_was_seen_comes_first_and_how_frames_were_answered_is_in_words() -> None:
    seen = Prediction("regions", regions=[Region(0, 0, 0.5, 0.5, 0.9)] * 2)
    stats = a_run(3, prediction=seen, decision="hold", share=0.1)
    stats.add(a_result(3, prediction=Prediction("regions"), decision="recall", share=0.5))
    lines = printed(stats).splitlines()
    assert lines[1] == "seen         something stands out in 75 % of the frames, 2 regions each"
    assert "answered     3 as the frame before (hold), 1 where they changed (recall)" in lines
    nothing = printed(a_run(prediction=Prediction("regions")))
    assert "something stands out in 0 % of the frames\n" in nothing


def test_random_weights_are_told() -> None:
    stats = a_run(weights="random")
    assert "random: what was predicted means nothing" in printed(stats)
    assert stats.to_dict()["weights"] == "random"
    assert "means nothing" not in printed(a_run(weights="file"))


def test_paths_written_are_never_wrapped() -> None:
    path = "a/" * 60 + "results.jsonl"
    assert path in printed(a_run(), None, [path])


def test_a_run_without_frames_says_zero_and_nothing_else() -> None:
    assert printed(RunStats()).split() == ["frames", "0"]


def test_the_json_summary_holds_the_statistics_and_what_is_added(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    stats = a_run()
    write_json_summary(stats, path, {"source": "sample:bikes", "outputs": ["a.mp4"]})
    assert json.loads(path.read_text()) == {
        "source": "sample:bikes",
        "outputs": ["a.mp4"],
        **stats.to_dict(),
    }


def test_a_json_summary_that_cannot_be_written_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--json-summary .*: Is a directory"):
        write_json_summary(a_run(), tmp_path, {})


def test_a_full_disk_is_one_clear_error() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(VwtError, match="No space left on device"):
        write_json_summary(a_run(), "/dev/full", {})
