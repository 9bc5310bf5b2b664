import json
import tracemalloc

import numpy as np
import pytest

from pipeline.results import Energy, Prediction
from pipeline.stats import RunStats
from tests.pipeline.outputs.examples import a_result


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def settled(joules: float | None, method: str = "nvml", **more: object) -> Energy:
    return Energy(joules, method=method, settled=True, **more)


def provisional(joules: float | None, method: str = "nvml", **more: object) -> Energy:
    return Energy(joules, method=method, settled=False, **more)


def test_the_rate_is_frames_over_wall_time_up_to_the_newest_result() -> None:
    clock = Clock()
    stats = RunStats(clock)
    for frame in range(10):
        clock.now += 0.5
        stats.add(a_result(frame))
    clock.now += 60
    assert stats.wall_s == 5.0
    assert stats.fps == 2.0


def test_the_share_of_tokens_kept_is_over_all_frames() -> None:
    stats = RunStats()
    stats.add(a_result(0, tokens_full=256, tokens_kept=256))
    stats.add(a_result(1, tokens_full=256, tokens_kept=64))
    assert stats.kept_share == 0.625


def test_latency_quantiles_are_those_of_numpy_within_one_percent() -> None:
    total = np.random.default_rng(5).lognormal(4, 0.5, 2000)
    stats = RunStats()
    for frame, total_ms in enumerate(total):
        stats.add(a_result(frame, total_ms=float(total_ms), infer_ms=float(total_ms) / 2))
    expected = np.quantile(total, [0.5, 0.99], method="inverted_cdf")
    assert [stats.total_ms(0.5), stats.total_ms(0.99)] == pytest.approx(expected, rel=0.01)
    assert [stats.infer_ms(0.5), stats.infer_ms(0.99)] == pytest.approx(expected / 2, rel=0.01)


def test_a_settled_figure_replaces_the_provisional_one() -> None:
    stats = RunStats()
    stats.add(a_result(0, energy=provisional(9.0)))
    stats.add(a_result(1, energy=provisional(9.0)))
    assert stats.energy_summary().joules_per_frame == 9.0
    stats.energy(0, settled(1.0, above_idle_joules=0.5))
    stats.energy(1, settled(2.0, above_idle_joules=1.0))
    summary = stats.energy_summary()
    assert (summary.joules_per_frame, summary.joules, summary.method) == (1.5, 3.0, "nvml")
    assert summary.above_idle_joules_per_frame == 0.75
    assert summary.settled_share == 1.0


def test_a_figure_that_settles_twice_counts_once() -> None:
    stats = RunStats()
    stats.add(a_result(0, energy=provisional(9.0)))
    stats.energy(0, settled(1.0))
    stats.energy(0, settled(5.0))
    assert stats.energy_summary().joules == 1.0


def test_the_mean_is_over_the_frames_that_have_a_figure() -> None:
    stats = RunStats()
    stats.add(a_result(0, energy=settled(2.0)))
    stats.add(a_result(1, energy=settled(None, reason="the counter stood still")))
    summary = stats.energy_summary()
    assert (summary.joules_per_frame, summary.frames) == (2.0, 1)
    assert summary.reason == "the counter stood still"


def test_unknown_energy_is_null_with_the_reason_of_its_frames() -> None:
    stats = RunStats()
    stats.add(a_result(0, energy=Energy(method="none", reason="MIG is on: the counter is the whole card's")))
    energy = stats.to_dict()["energy"]
    assert energy["joules_per_frame"] is None
    assert energy["method"] == "none"
    assert energy["reason"] == "MIG is on: the counter is the whole card's"


def test_meter_and_estimate_are_never_added_up() -> None:
    stats = RunStats()
    stats.add(a_result(0, energy=settled(2.0, "nvml")))
    stats.add(a_result(1, energy=settled(1.0, "estimate")))
    summary = stats.energy_summary()
    assert summary.joules_per_frame is None
    assert summary.joules is None
    assert summary.method == "mixed"
    assert summary.reason is not None
    assert "1 frames by estimate, 1 frames by nvml" in summary.reason


def test_a_missing_share_above_idle_says_why() -> None:
    stats = RunStats()
    stats.add(a_result(0, energy=settled(2.0)))
    energy = stats.to_dict()["energy"]
    assert energy["above_idle_joules_per_frame"] is None
    assert energy["reason"] == "the idle power of the device is not known"


def test_drops_add_up_by_reason_also_after_the_last_result() -> None:
    stats = RunStats()
    stats.add(a_result(0, dropped={"late": 2}))
    stats.add(a_result(1, dropped={"late": 1, "corrupt": 1}))
    stats.count_dropped({"late": 4, "no_pts": 0})
    assert stats.to_dict()["dropped"] == {"late": 7, "corrupt": 1}


def test_frames_before_the_first_vocabulary_are_warm_up() -> None:
    stats = RunStats()
    for frame, version in enumerate([None, None, None, 4, 4, 5, 7]):
        stats.add(a_result(frame, vocab_version=version))
    assert stats.to_dict()["vocabulary"] == {
        "first_version": 4,
        "last_version": 7,
        "versions": 3,
        "warm_up_frames": 3,
    }


def test_a_run_without_a_vocabulary_says_so() -> None:
    stats = RunStats()
    stats.add(a_result(0))
    vocabulary = stats.to_dict()["vocabulary"]
    assert vocabulary["first_version"] is None
    assert vocabulary["reason"] == "no frame was processed with a vocabulary"


def test_the_object_holds_the_facts_of_the_run() -> None:
    stats = RunStats()
    stats.add(a_result(0, prediction=Prediction("regions"), total_ms=20.0))
    facts = stats.to_dict()
    assert facts["frames"] == 1
    assert facts["model"] == "a-model"
    assert facts["tokenizer"] == "inter"
    assert facts["prediction"] == "regions"
    assert facts["tokens"] == {"full": 256, "kept": 128, "kept_share": 0.5}
    assert facts["latency_ms"]["total"] == {"p50": 20.0, "p99": 20.0}


def test_a_run_without_frames_is_valid_json_that_knows_nothing() -> None:
    facts = json.loads(json.dumps(RunStats().to_dict(), allow_nan=False))
    assert facts["frames"] == 0
    assert facts["fps"] is None
    assert facts["tokens"]["kept_share"] is None
    assert facts["energy"]["joules_per_frame"] is None
    assert facts["latency_ms"]["total"] == {"p50": None, "p99": None}
    assert facts["reason"] == facts["energy"]["reason"] == "no frame was processed"


def test_a_model_without_patches_has_no_share_of_tokens() -> None:
    stats = RunStats()
    stats.add(a_result(0, tokens_full=None, tokens_kept=None))
    assert stats.to_dict()["tokens"]["kept_share"] is None
    assert stats.to_dict()["tokens"]["reason"] == "no frame was cut into patches"


def test_memory_stays_the_same_when_no_figure_ever_settles() -> None:
    stats = RunStats()

    def add(frames: range) -> int:
        for frame in frames:
            stats.add(a_result(frame, energy=provisional(1.0)))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = add(range(6000))
        after = add(range(6000, 18000))
    finally:
        tracemalloc.stop()
    assert after - before < 50_000
    summary = stats.energy_summary()
    assert (summary.frames, summary.joules_per_frame, summary.settled_share) == (18000, 1.0, 0.0)
