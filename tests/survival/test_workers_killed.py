"""kill -9 of every worker of the service."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from pipeline.sources import parse_source
from tests.make_clips import slower
from tests.survival.conftest import NULL, PLAYED
from tests.survival.outcomes import record
from tests.survival.service import Service, until
from tests.vocab.servers import Server

pytestmark = pytest.mark.survival

NOTHING_OF_A_FILE = "no sampled frame of a file is missing, none comes twice"


def _killed(service: Service, clip: Path, role: str, fault: str) -> None:
    stream = service.add(clip, name="played", **PLAYED)
    tail = service.tail(stream)
    tail.more(30)
    killed_at = time.monotonic()
    pid = service.kill_worker(stream, role)
    tail.more(100)
    back_s = tail.longest_pause_s(killed_at)
    until(lambda: service.status(stream)[role]["pid"] != pid, 30, f"{role} is still {pid}")
    tail.stop()
    tail.check_once_each()
    record(fault, NOTHING_OF_A_FILE, back_s, f"0 of {len(tail.frames)} frames")


def test_no_frame_is_missing_after_an_inference_replica_was_killed(service: Service, clip: Path) -> None:
    _killed(service, clip, "inference", "kill -9 of an Inference replica")


def test_streams_that_recall_pay_one_full_frame_after_their_replica_was_killed(
    tmp_path: Path, redis: Server
) -> None:
    # In what recalls and what runs in full alike, so that their answers can be compared.
    config = {"inference": {"precision": "fp32", "runtime": "torch"}}
    service = Service(tmp_path, config, "--redis", f"redis://127.0.0.1:{redis.port}")
    clip = slower(tmp_path / "slow.mp4", Path(parse_source("sample:carphone").location), times=6)
    try:
        names = [service.add(clip, name=name, tokenizer="recall", realtime=True) for name in ("one", "two")]
        tails = [service.tail(name) for name in names]
        for tail in tails:
            tail.more(10)
        assert all(service.status(name)["recall_bytes"] > 0 for name in names)
        killed_at = time.monotonic()
        seen = [len(tail.frames) for tail in tails]
        service.kill_worker(names[0], "inference")
        # Before the first audit, the 48th frame after one in full.
        for tail, count in zip(tails, seen, strict=True):
            tail.until_frames(count + 30)
        whole = service.add(clip, name="whole", tokenizer="full")
        expected = service.tail(whole)
        expected.until_frames(max(seen) + 30)
        for tail in (*tails, expected):
            tail.stop()
    finally:
        service.stop()
    for tail, count in zip(tails, seen, strict=True):
        tail.check_once_each()
        decisions = [result["decision"] for result in tail.results[: count + 30]]
        begun = [frame for frame, decision in enumerate(decisions) if decision == "full"]
        assert len(begun) == 2, decisions
        assert begun[0] == 0
        # What ran before the fault may not have been seen by then.
        assert count <= begun[1] < count + 10
        assert set(decisions[begun[1] + 1 :]) <= {"hold", "recall", "escalated", "merged"}
        assert "recall" in decisions[begun[1] + 1 :]
        for frame in begun:
            found, right = (one.results[frame]["prediction"]["regions"] for one in (tail, expected))
            assert len(found) == len(right) > 0
            for region, same in zip(found, right, strict=True):
                assert region == pytest.approx(same, abs=1e-3)
    record(
        "kill -9 of the Inference replica that two streams with `recall` have their caches in",
        "nothing is missing, none comes twice; the next frame of each runs in full, then they recall again",
        max(tail.longest_pause_s(killed_at) for tail in tails),
        f"0 of {sum(len(tail.frames) for tail in tails)} frames; {len(tails)} frames in full more",
    )


def test_no_frame_is_missing_after_an_ingest_replica_was_killed(service: Service, clip: Path) -> None:
    _killed(service, clip, "ingest", "kill -9 of an Ingest replica")


def test_a_file_at_full_speed_is_whole_after_both_were_killed(service: Service, clip: Path) -> None:
    stream = service.add(clip, name="file", loop=False, **NULL, fps=1000)
    tail = service.tail(stream)
    tail.until_frames(20)
    service.kill_worker(stream, "ingest")
    service.kill_worker(stream, "inference")
    service.until_state(stream, "ended")
    tail.until_frames(250)
    tail.stop()
    tail.check_once_each()
    times = [result["pts_s"] for result in tail.results]
    assert len(times) == 250
    assert times == sorted(set(times))


def test_a_client_resumes_after_the_gateway_was_killed(service: Service, clip: Path) -> None:
    stream = service.add(clip, name="played", **PLAYED)
    tail = service.tail(stream)
    tail.more(30)
    killed_at = time.monotonic()
    _kill_replica("Gateway")
    tail.more(100)
    tail.stop()
    tail.check_once_each()
    assert tail.breaks > 0
    record(
        "kill -9 of the Gateway",
        "a client that resumes gets every result once; inference goes on meanwhile",
        tail.longest_pause_s(killed_at),
        f"0 of {len(tail.frames)} results",
    )


def test_words_are_kept_on_after_the_keeper_was_killed(tmp_path: Path, redis: Server, clip: Path) -> None:
    config = {"keeper": {"check_every_s": 1, "relearn_after_s": 3, "window_fps": 25, "window_patches": 256}}
    service = Service(tmp_path, config, "--redis", f"redis://127.0.0.1:{redis.port}")
    try:
        played = {**PLAYED, "model": "dinov2_vits14_saliency", "tokenizer": "inter", "words": 100, "fps": 5}
        stream = service.add(clip, name="words", **played)
        tail = service.tail(stream)
        until(lambda: service.status(stream)["vocab_version"], 120, "no words came")
        version = service.status(stream)["vocab_version"]
        killed_at = time.monotonic()
        _kill_replica("VocabularyKeeper")
        until(lambda: service.status(stream)["vocab_version"] > version, 120, "no newer words came")
        pause_s = time.monotonic() - killed_at
        tail.stop()
        tail.check_once_each()
    finally:
        service.stop()
    record(
        "kill -9 of the VocabularyKeeper",
        f"results go on with the words at hand; new words came {pause_s:.0f} s later (relearning every 3 s)",
        None,
        f"0 of {len(tail.frames)} frames",
    )


def test_a_client_that_went_away_gets_what_it_missed(service: Service, clip: Path) -> None:
    stream = service.add(clip, name="played", **PLAYED)
    first = service.tail(stream)
    first.more(20)
    first.stop()
    seen = len(first.frames)
    other = service.tail(stream)
    other.until_frames(seen + 50)
    again = service.tail(stream, after=str(seen))
    again.more(60)
    for tail in (other, again):
        tail.stop()
    again.check_once_each(first=seen)
    record(
        "a client disconnects and resumes",
        "it gets what it missed, then what is new",
        None,
        f"0 of {len(again.frames)} results",
    )


def _kill_replica(deployment: str) -> None:
    """Ends the newest process of a deployment of ours; Ray names a replica's process by its class."""
    commands = {
        process: " ".join(process.info["cmdline"] or ())
        for process in psutil.process_iter(["cmdline", "create_time"])
    }
    found = [
        process for process, command in commands.items() if "ray::" in command and f":{deployment}" in command
    ]
    assert found, f"no process of {deployment}"
    os.kill(max(found, key=lambda process: process.info["create_time"]).pid, signal.SIGKILL)
