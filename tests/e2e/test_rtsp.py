"""A live camera, from a real RTSP server: joining it, losing it, finding it again."""

from __future__ import annotations

import signal
from urllib.parse import quote

from tests.conftest import RtspServer
from tests.e2e.command import NULL, Running, refused
from tests.e2e.schema import check_results

PASSWORD = "p@ss:w/rd"
# The clip's own rate; a live run cannot be faster.
RATE = 10


def address(server: RtspServer) -> str:
    return server.url.replace("rtsp://", f"rtsp://viewer:{quote(PASSWORD, safe='')}@")


def test_a_stream_survives_the_loss_of_its_camera(locked_rtsp_server: RtspServer) -> None:
    url = address(locked_rtsp_server)
    with Running(url, *NULL, "--batch", "2", "--stall-timeout", "5") as run:
        run.read(10)
        locked_rtsp_server.kill()
        run.hear("trying again in")
        locked_rtsp_server.start()
        run.hear("is back after")
        while not run.read(1)[0]["dropped"].get("gap"):
            assert len(run.results) < 20 * RATE
        lost = len(run.results) - 1
        run.read(20)
        assert run.finish(signal.SIGINT) == 0
    check_results(run.results, live=True)
    timed = [result for result in run.results if result["pts_s"] is not None]
    before = max((r for r in timed if r["frame"] < lost), key=lambda r: r["frame"])
    after = min((r for r in timed if r["frame"] >= lost), key=lambda r: r["frame"])
    # Presentation time goes on by the time that passed without pictures, but for what a server sends at once.
    away_s = after["captured_at"] - before["captured_at"]
    assert abs(after["pts_s"] - before["pts_s"] - away_s) < 1.0
    assert sum(result["dropped"].get("gap", 0) for result in run.results) == 1
    assert f"frames       {len(run.results)} in " in run.stderr
    assert "1 gap" in run.stderr
    for secret in ("viewer", PASSWORD, quote(PASSWORD, safe="")):
        assert secret not in run.stderr
        assert all(secret not in str(result) for result in run.results)


def test_frames_that_came_while_the_model_was_loading_are_no_drops(rtsp_server: RtspServer) -> None:
    with Running(rtsp_server.url, "--tokenizer", "full", "--fps", "1") as run:
        (first,) = run.read(1)
        assert run.finish(signal.SIGTERM) == 0
    assert "late" not in first["dropped"]
    assert first["captured_at"] is not None


def test_a_wrong_password_is_refused_without_showing_it(locked_rtsp_server: RtspServer) -> None:
    url = locked_rtsp_server.url.replace("rtsp://", "rtsp://viewer:wr0ng@")
    line = refused("run", url, code=3)
    assert "check user name and password" in line
    assert "wr0ng" not in line
