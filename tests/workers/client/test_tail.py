from __future__ import annotations

import json
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator

import pytest

from tests.e2e.command import PATIENCE_S, refused, start, succeeds
from tests.vocab.servers import eventually
from tests.workers.client.conftest import Frames, Service, result


class _Tail:
    """`vwt streams tail` while it runs."""

    def __init__(self, service: Service, *arguments: str) -> None:
        self.process = start(
            *("streams", "tail", "gate", "--url", service.url, *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=1,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self.said: queue.Queue[str] = queue.Queue()
        for stream, lines in ((self.process.stdout, self.lines), (self.process.stderr, self.said)):
            threading.Thread(target=self._listen, args=(stream, lines), daemon=True).start()

    def frames(self, until: int) -> list[int]:
        """Numbers of the frames it prints from now on, up to that one."""
        found: list[int] = []
        while not found or found[-1] != until:
            data = json.loads(self.lines.get(timeout=PATIENCE_S))
            if "frame" in data:
                found.append(data["frame"])
        return found

    def end(self) -> None:
        self.process.kill()
        self.process.wait()

    def _listen(self, stream: Iterator[str], lines: queue.Queue[str]) -> None:
        for line in stream:
            lines.put(line)


@pytest.fixture
def frames(service: Service) -> Frames:
    """Writes results of the stream "gate"."""
    succeeds("streams", "add", "sample:bikes", "--name", "gate", "--url", service.url)
    return Frames(service, "gate")


def test_people_read_a_line_per_frame_and_per_change(service: Service, frames: Frames) -> None:
    frames.tell(state="running")
    frames.write(2)
    frames.tell(state="failed", reason="the file is no video")
    tail = _Tail(service, "--after", "0")
    assert [tail.lines.get(timeout=PATIENCE_S) for _ in range(4)] == [
        "frame 0  0.00 s  tabby cat 0.87  131/256 tokens  0.41 J  63 ms\n",
        "frame 1  0.04 s  tabby cat 0.87  131/256 tokens  0.41 J  63 ms\n",
        "state: running\n",
        "state: failed: the file is no video\n",
    ]
    tail.end()


def test_programs_get_the_data_unchanged(service: Service, frames: Frames) -> None:
    frames.write(3)
    done = succeeds("streams", "tail", "gate", "--after", "0", "--limit", "3", "--json", "--url", service.url)
    assert done.stdout.splitlines() == [json.dumps(result("gate", frame)) for frame in range(3)]
    assert done.stderr == ""


def test_it_ends_after_as_many_frames_as_asked_for(service: Service, frames: Frames) -> None:
    frames.write(10)
    done = succeeds("streams", "tail", "gate", "--after", "4", "--limit", "2", "--url", service.url)
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["4", "5"]


def test_a_service_that_is_killed_and_started_again_costs_no_frame(service: Service, frames: Frames) -> None:
    tail = _Tail(service, "--after", "0", "--json")
    frames.write(500)
    seen = tail.frames(until=499)
    for ending in (service.kill, service.end):
        # More than a socket holds, so that it ends while some of them are on their way.
        frames.write(2000)
        seen += tail.frames(until=seen[-1] + 100)
        ending()
        frames.write(500)
        assert "waiting until it is back" in tail.said.get(timeout=PATIENCE_S)
        service.start()
        assert tail.said.get(timeout=PATIENCE_S) == "vwt: the service is back\n"
        seen += tail.frames(until=(seen[-1] // 2500 + 1) * 2500 + 499)
    assert seen == list(range(5500))
    # Said once each, however often it was tried.
    assert tail.said.empty()
    tail.end()


def test_frames_that_are_kept_no_longer_are_reported(service: Service, frames: Frames) -> None:
    frames.write(5)
    service.client.xtrim("vwt:{gate}:results", minid="4-0", approximate=False)
    done = succeeds("streams", "tail", "gate", "--after", "1", "--limit", "2", "--url", service.url)
    assert done.stdout.splitlines()[0] == (
        "gap: 2 frames will not come: results of frames 1 to 2 are no longer kept"
    )


@pytest.mark.usefixtures("frames")
def test_it_ends_when_the_stream_is_removed(service: Service) -> None:
    tail = _Tail(service)
    assert tail.lines.get(timeout=PATIENCE_S) == "state: starting\n"
    succeeds("streams", "remove", "gate", "--url", service.url)
    assert tail.process.wait(PATIENCE_S) == 0
    assert tail.lines.get(timeout=PATIENCE_S) == "state: deleted\n"


@pytest.mark.usefixtures("frames")
def test_a_stream_that_was_removed_meanwhile_is_said(service: Service) -> None:
    tail = _Tail(service)
    tail.lines.get(timeout=PATIENCE_S)
    service.kill()
    service.client.hdel("vwt:streams", "gate")
    service.start()
    assert tail.process.wait(PATIENCE_S) == 2
    eventually(lambda: tail.said.qsize() == 2)
    tail.said.get()
    assert "there is no stream 'gate'" in tail.said.get()


@pytest.mark.usefixtures("frames")
@pytest.mark.parametrize("away", [False, True])
def test_ctrl_c_is_the_ordinary_way_to_end_it(service: Service, away: bool) -> None:
    tail = _Tail(service)
    tail.lines.get(timeout=PATIENCE_S)
    if away:
        service.kill()
        tail.said.get(timeout=PATIENCE_S)
    tail.process.send_signal(signal.SIGINT)
    assert tail.process.wait(PATIENCE_S) == 0
    assert tail.said.empty()


def test_a_service_that_is_away_from_the_start_is_not_waited_for(unused_port: int) -> None:
    url = f"http://127.0.0.1:{unused_port}"
    assert "cannot reach the service" in refused("streams", "tail", "gate", "--url", url, code=5)
