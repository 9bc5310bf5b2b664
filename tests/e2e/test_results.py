"""One valid result per sampled frame."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import av
import pytest

from pipeline.sources import parse_source
from tests.e2e.command import NULL, results_of, succeeds, vwt
from tests.e2e.schema import check_results

SAMPLES = ("bikes", "bunny", "carphone")
SHORT = ("--warmup-frames", "4", "--words", "100")


def decoded_times(path: str | Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.time) for frame in container.decode(video=0)]


@pytest.mark.parametrize("tokenizer", ["full", "intra", "inter", "inter --exact"])
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_clip_gives_one_valid_result_per_sampled_frame(
    sample: str, tokenizer: str, tmp_path: Path
) -> None:
    out = tmp_path / "results.jsonl"
    name, *options = tokenizer.split()
    words = SHORT if name == "inter" else ()
    succeeds("run", f"sample:{sample}", "--tokenizer", name, *options, "--fps", "2", *words, "--out", out)
    results = results_of(out.read_text())
    check_results(results)
    times = decoded_times(parse_source(f"sample:{sample}").location)
    slots = {int((time_s - times[0]) * 2 + 0.02) for time_s in times}
    assert len(results) == len(slots)
    assert {result["stream"] for result in results} == {sample}
    assert {result["tokenizer"] for result in results} == {name}
    assert {result["prediction"]["kind"] for result in results} == {"regions"}
    reduced = [result["tokens"]["kept"] < result["tokens"]["full"] for result in results]
    if name == "inter":
        # The warm-up runs in full, and says so by naming no vocabulary.
        assert [result["vocab_version"] for result in results] == [None] * 4 + [1] * (len(results) - 4)
        assert {result["decision"] is not None for result in results[4:]} == {not options}
        # No frame has padding to merge: one behind a cut may show nothing that the first four showed. What
        # recalls runs all of the first behind the warm-up, and at two frames a second of most of bikes.
        assert sum(reduced[4:]) >= (0.8 if options else 0.25) * len(results[4:])
    else:
        assert all(reduced) is (tokenizer == "intra")


def test_every_frame_of_a_clip_has_its_own_time(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    succeeds("run", "sample:bunny", *NULL, "--out", out)
    results = results_of(out.read_text())
    check_results(results)
    times = decoded_times(parse_source("sample:bunny").location)
    assert [result["pts_s"] for result in results] == pytest.approx([t - times[0] for t in times], abs=1e-5)


def test_the_size_of_a_batch_changes_no_result() -> None:
    runs = [
        results_of(
            succeeds(
                *("run", "sample:carphone", "--tokenizer", "inter", "--exact", "--max-frames", "20"),
                *("--warmup-frames", "6", "--words", "100"),
                *("--embedding", "--out", "-", "--batch", batch, "--precision", "fp32"),
            ).stdout
        )
        for batch in ("1", "8")
    ]
    for one, eight in zip(*runs, strict=True):
        assert one["tokens"] == eight["tokens"]
        assert one["vocab_version"] == eight["vocab_version"]
        assert numbers(one["prediction"]) == pytest.approx(numbers(eight["prediction"]), abs=1e-4)


def numbers(prediction: dict[str, Any]) -> list[float]:
    regions = [list(region.values()) for region in prediction["regions"]]
    return [*itertools.chain.from_iterable(regions), *prediction["embedding"]]


def test_the_joules_of_all_frames_idle_time_and_the_rest_add_up(tmp_path: Path) -> None:
    out, summary = tmp_path / "results.jsonl", tmp_path / "summary.json"
    succeeds("run", "sample:carphone", *NULL, "--meter", "estimate", "--out", out, "--json-summary", summary)
    frames = sum(result["energy"]["joules"] for result in results_of(out.read_text()))
    told = json.loads(summary.read_text())
    ledger = told["ledger"]
    # Results and the summary are rounded to the microjoule.
    assert frames == pytest.approx(ledger["frames_joules"], abs=120 * 1e-6)
    assert told["energy"]["joules"] == pytest.approx(ledger["frames_joules"], abs=1e-6)
    parts = (ledger[f"{part}_joules"] for part in ("frames", "idle", "unattributed"))
    assert sum(parts) == pytest.approx(ledger["counter_joules"], abs=1e-9)


def test_a_model_without_patches_runs_in_full_unless_told_otherwise() -> None:
    done = succeeds("run", "sample:carphone", "--model", "null", "--max-frames", "3", "--out", "-")
    assert [result["tokenizer"] for result in results_of(done.stdout)] == ["full"] * 3


def test_without_a_meter_energy_is_null_and_says_why() -> None:
    done = succeeds("run", "sample:carphone", *NULL, "--meter", "none", "--max-frames", "3", "--out", "-")
    for result in results_of(done.stdout):
        assert result["energy"]["joules"] is None
        assert result["energy"]["method"] == "none"
        assert result["energy"]["reason"]


def test_max_frames_ends_a_run_after_so_many_results() -> None:
    done = succeeds("run", "sample:bikes", *NULL, "--max-frames", "13", "--batch", "5", "--out", "-")
    assert [result["frame"] for result in results_of(done.stdout)] == list(range(13))


def test_the_name_of_a_stream_can_be_given() -> None:
    done = vwt("run", "sample:carphone", *NULL, "--max-frames", "1", "--name", "front-door", "--out", "-")
    assert results_of(done.stdout)[0]["stream"] == "front-door"
