"""What a connection does that hangs in the library, where only the library's edge can be a fake."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import SourceError
from pipeline.sources import Notice, SourceOptions, open_source, parse_source, remote
from pipeline.sources.connection import Connection, _Pace
from pipeline.sources.deadline import within
from pipeline.sources.reader import Reader
from pipeline.sources.source import Dropped
from tests import make_clips

OPTIONS = SourceOptions(
    open_timeout_s=0.2, stall_timeout_s=0.2, decoder="cpu", backoff_initial_s=0.01, backoff_cap_s=0.02
)


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """A library call that returns only when this is set."""
    event = threading.Event()
    yield event
    event.set()


def test_a_result_that_comes_too_late_is_discarded(stuck: threading.Event) -> None:
    discarded = threading.Event()

    def slow() -> int:
        stuck.wait(20)
        return 1

    with pytest.raises(TimeoutError):
        within(0.05, slow, lambda _result: discarded.set())
    stuck.set()
    assert discarded.wait(60)


def test_a_picture_whose_time_is_far_off_is_not_waited_for() -> None:
    pace = _Pace()
    assert pace.wait_s(0.0, now_s=100.0) == 0
    assert pace.wait_s(1.5, now_s=100.5) == pytest.approx(1.0)
    # What comes next is due by the time of this one.
    assert pace.wait_s(3600.0, now_s=101.5) == 0
    assert pace.wait_s(3601.0, now_s=101.5) == pytest.approx(1.0)
    assert pace.wait_s(2.0, now_s=102.5) == 0


def test_work_in_time_returns_its_result_or_raises_its_error() -> None:
    assert within(10, lambda: 7, lambda _result: None) == 7
    with pytest.raises(ZeroDivisionError):
        within(10, lambda: 1 // 0, lambda _result: None)


def test_an_abandoned_connection_gives_no_frame_and_ends_when_the_library_lets_go(
    tmp_path: Path, stuck: threading.Event
) -> None:
    spec = parse_source(str(make_clips.steady(tmp_path / "a.mp4")))

    def opened() -> Reader:
        stuck.wait(20)
        return Reader(spec, OPTIONS, None, [].append, Dropped())

    connection = Connection(opened, paced=False, dropped=Dropped())
    with pytest.raises(TimeoutError):
        connection.wait_open(0.05)
    connection.abandon()
    assert connection.wait_open(10) is None
    stuck.set()
    for thread in threading.enumerate():
        if thread.name == "source-connection":
            thread.join(10)
    assert not connection.alive
    assert connection.next(10) is None


def test_connections_that_hang_in_the_library_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stuck: threading.Event
) -> None:
    real, opens = remote.open_reader, []
    clip = str(make_clips.timed(tmp_path / "a.mp4", range(0, 3000, 1000)))

    def hanging(spec: object, *rest: object) -> Reader:
        opens.append(spec)
        if len(opens) > 1:
            stuck.wait(20)
        reader = real(parse_source(clip), *rest[:5])
        reader.info = replace(reader.info, live=True)
        return reader

    monkeypatch.setattr(remote, "open_reader", hanging)
    notices: list[Notice] = []
    waiting = threading.Event()

    def on_notice(notice: Notice) -> None:
        notices.append(notice)
        if "still hang" in notice.message and len([n for n in notices if "still hang" in n.message]) == 3:
            waiting.set()

    source = open_source(parse_source("rtsp://127.0.0.1:1/x"), OPTIONS, on_notice)
    thread = threading.Thread(target=lambda: list(source.frames()))
    thread.start()
    assert waiting.wait(20)
    source.close()
    thread.join(5)
    assert not thread.is_alive()
    assert len(opens) == 1 + remote._MAX_HUNG


def test_a_camera_that_is_not_there_is_named_with_its_device() -> None:
    free = next(n for n in range(99, 0, -1) if not Path(f"/dev/video{n}").exists())
    with pytest.raises(SourceError, match=rf"camera:{free} does not exist \(no /dev/video{free}\)"):
        # Of a source that answers; one of a machine under load may not in a fifth of a second.
        open_source(parse_source(f"camera:{free}"), SourceOptions(decoder="cpu"), [].append)


def test_a_camera_is_a_live_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A clip stands in for the device; everything behind its address is real.
    from pipeline.sources import container

    clip = make_clips.steady(tmp_path / "a.mp4", frames=10)
    monkeypatch.setattr(container, "_check_camera", lambda _spec: None)
    monkeypatch.setattr(container, "_address", lambda _spec, _options: (str(clip), None, {}))
    options = SourceOptions(open_timeout_s=5.0, decoder="cpu", reconnect=False)
    source = open_source(parse_source("camera:0"), options, [].append)
    frames = list(source.frames())
    assert source.info.live
    assert source.info.duration_s is None
    assert len(frames) + source.take_dropped().get("late", 0) == 10
    assert all(d.times.captured_at is not None for d in frames)
