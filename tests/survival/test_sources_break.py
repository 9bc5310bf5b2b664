"""Sources that go away, say nothing, or are poison."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from tests.conftest import RtspServer
from tests.make_clips import longer
from tests.survival.conftest import NULL, PLAYED
from tests.survival.outcomes import record
from tests.survival.service import Service, Tail, until

pytestmark = pytest.mark.survival

AWAY_S = 30


def test_a_camera_that_was_away_comes_back(service: Service, rtsp_server: RtspServer) -> None:
    stream = service.add(rtsp_server.url, name="camera", **NULL)
    tail = service.tail(stream)
    tail.more(20)
    rtsp_server.kill()
    service.until_state(stream, "reconnecting", 20)
    time.sleep(AWAY_S)  # the fault itself
    rtsp_server.start()
    started_at, before = time.monotonic(), len(tail.frames)
    tail.until_frames(before + 1)
    back_s = time.monotonic() - started_at
    tail.more(20)
    tail.stop()
    tail.check_once_each()
    assert "reconnecting" in tail.states
    assert tail.lost.get("gap", 0) >= 1
    record(
        f"RTSP server killed for {AWAY_S} s",
        "the state says so; frames go on counting; each gap is counted",
        back_s,
        f"what the camera showed meanwhile: {tail.lost['gap']} gap counted",
    )


def test_a_source_that_accepts_and_never_sends_is_said_and_removed_at_once(
    service: Service, mute_port: int
) -> None:
    stream = service.add(f"rtsp://127.0.0.1:{mute_port}/live", name="mute", **NULL)
    until(lambda: service.status(stream)["reason"], 60, lambda: str(service.status(stream)))
    status = service.status(stream)
    asked_at = time.monotonic()
    assert service.http.delete(f"/v1/streams/{stream}").status_code == 204
    until(lambda: service.http.get(f"/v1/streams/{stream}").status_code == 404, 5)
    took_s = time.monotonic() - asked_at
    assert took_s <= 5
    record(
        "a source that accepts and never sends",
        f"its state is `{status['state']}` with the reason; DELETE is done within 5 s ({took_s:.1f} s)",
        None,
        "nothing there was",
    )


def test_a_file_that_is_deleted_while_it_is_read_ends_with_all_that_was_open(
    service: Service, clip: Path, tmp_path: Path
) -> None:
    copy = longer(tmp_path / "copy.mp4", clip, 4)
    stream = service.add(copy, name="deleted", **NULL)
    tail = service.tail(stream)
    tail.more(20)
    copy.unlink()
    until(lambda: service.status(stream)["state"] in ("ended", "failed"), 90)
    status = service.status(stream)
    until(lambda: len(tail.frames) == status["next_frame"], 30)
    tail.stop()
    tail.check_once_each()
    record(
        "a file deleted while read",
        "what is open is read to its end; a restart would end in `failed` with the reason",
        None,
        f"0 of {len(tail.frames)} frames, state `{status['state']}`",
    )


def test_one_poisoned_stream_among_eight_slows_none_of_them(
    service: Service, clip: Path, tmp_path: Path
) -> None:
    healthy = [service.add(clip, name=f"healthy-{number}", **{**PLAYED, "fps": 5}) for number in range(8)]
    tails = [service.tail(stream) for stream in healthy]
    for tail in tails:
        tail.more(10)
    span_s = 15.0
    before = _rates(tails, span_s)
    poison = tmp_path / "poison.mp4"
    shutil.copy(clip, poison)
    with poison.open("r+b") as file:  # a header that reads and pictures that do not
        file.seek(poison.stat().st_size // 8)
        file.write(b"\xa5" * (poison.stat().st_size // 2))
    stream = service.add(poison, name="poison", **PLAYED)
    after = _rates(tails, span_s)
    status = service.status(stream)
    for tail in tails:
        tail.stop()
        tail.check_once_each()
    worst = min(b / a for a, b in zip(before, after, strict=True))
    assert worst >= 0.9
    record(
        "1 poisoned stream among 8 healthy",
        f"the healthy keep their rate (the slowest {100 * worst:.0f} % of before)",
        None,
        f"0 frames of the healthy; of the poisoned, which is `{status['state']}`: {status['dropped']}",
    )


def _rates(tails: list[Tail], span_s: float) -> list[float]:
    started, counts = time.monotonic(), [len(tail.frames) for tail in tails]
    time.sleep(span_s)  # the span that is measured
    seconds = time.monotonic() - started
    return [(len(tail.frames) - count) / seconds for tail, count in zip(tails, counts, strict=True)]
