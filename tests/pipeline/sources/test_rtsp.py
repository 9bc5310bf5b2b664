"""Live streams from a real RTSP server that is killed, frozen and started again."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from pipeline.errors import SourceError
from pipeline.frame import Decoded
from pipeline.sources import Notice, Source, SourceOptions, open_source, parse_source
from tests.conftest import RtspServer

FAST = SourceOptions(
    open_timeout_s=8.0,
    stall_timeout_s=1.0,
    decoder="cpu",
    backoff_initial_s=0.1,
    backoff_cap_s=0.3,
    backoff_seed=1,
)


class Notices:
    """Collects notices and lets a test wait for one."""

    def __init__(self) -> None:
        self.all: list[Notice] = []
        self._new: queue.Queue[Notice] = queue.Queue()

    def __call__(self, notice: Notice) -> None:
        self.all.append(notice)
        self._new.put(notice)

    def wait_for(self, kind: str) -> Notice:
        while (notice := self._new.get(timeout=20)).kind != kind:
            pass
        return notice


class Reading:
    """Reads a source in a thread of its own, as the pipeline does."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.frames: queue.Queue[Decoded] = queue.Queue()
        self.done = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        for decoded in self.source.frames():
            self.frames.put(decoded)
        self.done.set()

    def take(self, count: int) -> list[Decoded]:
        return [self.frames.get(timeout=20) for _ in range(count)]

    def clear(self) -> list[Decoded]:
        return [self.frames.get_nowait() for _ in range(self.frames.qsize())]


@pytest.fixture
def notices() -> Notices:
    return Notices()


@pytest.fixture
def reading(rtsp_server: RtspServer, notices: Notices) -> Iterator[Reading]:
    source = open_source(parse_source(rtsp_server.url), FAST, notices)
    yield Reading(source)
    source.close()


def times(frames: list[Decoded]) -> list[float]:
    return [d.times.pts_s for d in frames if d.times.pts_s is not None]


def growing(values: list[float]) -> bool:
    return all(a < b for a, b in itertools.pairwise(values))


def test_a_live_stream_gives_growing_times_and_the_wall_clock_of_arrival(reading: Reading) -> None:
    frames = reading.take(15)
    info = reading.source.info
    assert (info.live, info.width, info.height, info.duration_s) == (True, 160, 96, None)
    assert info.rate == 10
    assert reading.source.state == "running"
    assert times(frames)[0] == 0.0
    assert growing(times(frames))
    assert all(
        d.times.captured_at is not None and abs(d.times.captured_at - time.time()) < 60 for d in frames
    )


def test_frames_flow_again_after_the_server_was_killed_and_started_again(
    reading: Reading, rtsp_server: RtspServer, notices: Notices
) -> None:
    before = reading.take(8)
    rtsp_server.kill()
    lost = notices.wait_for("reconnecting")
    assert reading.source.state == "reconnecting"
    before += reading.clear()
    rtsp_server.start()
    notices.wait_for("reconnected")
    after = reading.take(8)
    assert growing(times(before + after))
    # The time line goes on by what has really passed.
    passed_s = after[-1].times.captured_at - before[-1].times.captured_at
    assert times(after)[-1] - times(before)[-1] == pytest.approx(passed_s, abs=1.5)
    assert reading.source.state == "running"
    assert reading.source.take_dropped()["gap"] == 1
    assert "was lost" in lost.message
    assert "trying again in" in lost.message
    assert all("\n" not in n.message for n in notices.all)


def test_a_stall_is_noticed_and_healed(reading: Reading, rtsp_server: RtspServer, notices: Notices) -> None:
    before = reading.take(5)
    rtsp_server.halt()
    assert "no picture for 1 s" in notices.wait_for("reconnecting").message
    before += reading.clear()
    rtsp_server.resume()
    notices.wait_for("reconnected")
    assert growing(times(before + reading.take(5)))


def test_closing_while_the_server_hangs_ends_the_frames_at_once(
    reading: Reading, rtsp_server: RtspServer
) -> None:
    reading.take(3)
    rtsp_server.halt()
    closer = threading.Thread(target=reading.source.close)
    closer.start()
    closer.join(timeout=1.0)
    assert not closer.is_alive()
    assert reading.done.wait(timeout=1.0)
    assert reading.source.state == "ended"
    rtsp_server.resume()


def test_closing_while_reconnecting_ends_the_frames_at_once(
    reading: Reading, rtsp_server: RtspServer, notices: Notices
) -> None:
    reading.take(3)
    rtsp_server.kill()
    notices.wait_for("reconnecting")
    reading.source.close()
    assert reading.done.wait(timeout=1.0)


def test_a_slow_reader_gets_fresh_frames_and_the_late_ones_are_counted(
    rtsp_server: RtspServer, notices: Notices
) -> None:
    source = open_source(parse_source(rtsp_server.url), FAST, notices)
    frames = source.frames()
    first = next(frames)
    time.sleep(1.5)  # the reader is busy: 15 frames arrive, 4 may wait
    next_frames = [next(frames) for _ in range(5)]
    assert source.take_dropped()["late"] >= 5
    assert growing(times([first, *next_frames]))
    source.close()


def test_with_reconnecting_off_a_lost_stream_is_an_error(rtsp_server: RtspServer, notices: Notices) -> None:
    options = SourceOptions(open_timeout_s=8.0, stall_timeout_s=1.0, decoder="cpu", reconnect=False)
    source = open_source(parse_source(rtsp_server.url), options, notices)
    frames = source.frames()
    next(frames)
    rtsp_server.halt()
    with pytest.raises(SourceError, match="no picture for 1 s"):
        list(frames)
    assert source.state == "failed"
    rtsp_server.resume()


def test_no_credential_is_in_a_notice_or_an_error(locked_rtsp_server: RtspServer, notices: Notices) -> None:
    url = locked_rtsp_server.url.replace("//", "//viewer:p%40ss%3Aw%2Frd@")
    source = open_source(parse_source(url), FAST, notices)
    reading = Reading(source)
    reading.take(3)
    locked_rtsp_server.kill()
    notices.wait_for("reconnecting")
    notices.wait_for("reconnecting")
    source.close()
    shown = [source.info.display, repr(source.info), *(n.message for n in notices.all)]
    locked_rtsp_server.start()
    with pytest.raises(SourceError, match="401") as refusal:
        open_source(parse_source(url.replace("p%40ss", "wrong")), FAST, notices)
    shown.append(str(refusal.value))
    assert not any(word in text for word in ("viewer", "p%40ss", "p@ss", "w/rd", "wrong") for text in shown)


def test_a_path_the_server_does_not_have_is_an_error(rtsp_server: RtspServer, notices: Notices) -> None:
    with pytest.raises(SourceError, match=r"404.*check the path"):
        open_source(parse_source(rtsp_server.url.replace("clip", "nope")), FAST, notices)


def test_a_dead_port_is_an_error(unused_port: int, notices: Notices) -> None:
    with pytest.raises(SourceError, match="check that the server runs"):
        open_source(parse_source(f"rtsp://127.0.0.1:{unused_port}/x"), FAST, notices)


def test_a_server_that_never_answers_is_an_error_at_the_deadline(mute_port: int, notices: Notices) -> None:
    options = SourceOptions(open_timeout_s=0.5, decoder="cpu")
    with pytest.raises(SourceError, match=r"gave no picture within 0\.5 s"):
        open_source(parse_source(f"rtsp://127.0.0.1:{mute_port}/x"), options, notices)


def test_groups_in_which_nothing_is_sampled_are_not_decoded_and_do_not_count_as_silence(
    rtsp_server: RtspServer, notices: Notices
) -> None:
    # A group of pictures is half a second; nothing is wanted for longer than a camera may be silent.
    source = open_source(parse_source(rtsp_server.url), replace(FAST, fps=0.4), notices)
    reading = Reading(source)
    # All is decoded until a key frame has a time, which the first may not have.
    planned: list[float | None] = []
    while len(planned) < 3:
        (decoded,) = reading.take(1)
        if decoded.sampled:
            planned.append(decoded.times.pts_s)
    source.close()
    assert notices.all == []
    assert np.diff(planned) == pytest.approx([2.5, 2.5], abs=0.11)
    assert source.decoding.how == "needed"
    assert source.decoding.decoded <= 0.5 * source.decoding.frames
