"""kill -9 of every worker of the service."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

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
