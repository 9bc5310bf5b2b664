"""A source that cannot be read: one line that says why, exit 3, and no credential anywhere."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from pipeline.sources import parse_source
from tests import make_clips
from tests.e2e.command import NULL, SOON_S, refused, results_of, start, vwt


def text_named_mp4(folder: Path) -> Path:
    path = folder / "notes.mp4"
    path.write_text("This is no video.\n" * 100)
    return path


def empty(folder: Path) -> Path:
    path = folder / "empty.mp4"
    path.touch()
    return path


def cut_before_its_index(folder: Path) -> Path:
    return make_clips.cut_off(folder / "cut.mp4", make_clips.steady(folder / "whole.mp4"), 0.5)


def pipe_nobody_writes_to(folder: Path) -> Path:
    path = folder / "pipe.mp4"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder / "missing.mp4", "No such file"),
        (text_named_mp4, "no video we can read"),
        (empty, "is empty"),
        (cut_before_its_index, "cut off before its index"),
        (lambda folder: make_clips.sound_only(folder / "sound.mp4"), "has no video"),
        (lambda folder: folder, "no image in"),
        (pipe_nobody_writes_to, "did not open within 2 s"),
    ],
    ids=["missing", "text", "empty", "cut-off", "sound-only", "folder", "pipe"],
)
def test_a_file_that_is_no_video_is_refused_in_one_line(
    make: Callable[[Path], Path], says: str, tmp_path: Path
) -> None:
    path = make(tmp_path)
    line = refused("run", path, "--open-timeout", "2", code=3)
    assert says in line
    assert str(path) in line


@pytest.mark.parametrize("source", ["", "ftp://example.org/clip.mp4", "sample:cats", "camera:front"])
def test_what_names_no_source_is_a_usage_error(source: str) -> None:
    refused("run", source, code=2)


def test_a_camera_that_is_not_there_is_refused() -> None:
    assert "camera:999 does not exist" in refused("run", "camera:999", code=3)


def test_a_port_nobody_listens_on_is_refused_at_once(unused_port: int) -> None:
    assert "refused" in refused("run", f"rtsp://127.0.0.1:{unused_port}/door", code=3)


def test_a_peer_that_never_answers_is_given_up_after_the_open_timeout(mute_port: int) -> None:
    line = refused("run", f"rtsp://127.0.0.1:{mute_port}/door", "--open-timeout", "2", code=3)
    assert "gave no picture within 2 s" in line


@pytest.mark.parametrize("debug", [[], ["--debug"]], ids=["plain", "debug"])
@pytest.mark.parametrize("command", [["run"], ["vocab", "learn", "-o", "words.safetensors"]], ids=" ".join)
def test_credentials_of_a_url_are_never_shown(command: list[str], debug: list[str], unused_port: int) -> None:
    url = f"rtsp://alice:s3cr3t@127.0.0.1:{unused_port}/door?token=h1dden"
    done = vwt(*command, url, *debug, patience_s=SOON_S)
    assert done.returncode == 3
    shown = done.stdout + done.stderr
    assert f"127.0.0.1:{unused_port}/door" in shown
    assert all(secret not in shown for secret in ("alice", "s3cr3t", "h1dden"))


def test_debug_shows_where_it_failed() -> None:
    done = vwt("run", "missing.mp4", "--debug", patience_s=SOON_S)
    assert done.returncode == 3
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("vwt: cannot open missing.mp4")


def test_a_clip_cut_off_within_a_frame_gives_every_frame_before_it_and_a_warning(tmp_path: Path) -> None:
    whole = make_clips.index_first(tmp_path / "whole.mp4", Path(parse_source("sample:bunny").location))
    with av.open(str(whole)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    start, size = packets[40]
    clip = tmp_path / "cut.mp4"
    clip.write_bytes(whole.read_bytes()[: start + size // 2])
    done = vwt("run", clip, *NULL, "--out", "-")
    assert done.returncode == 0
    assert len(results_of(done.stdout)) == 40
    assert "cut.mp4 ends before its end" in done.stderr


def test_ctrl_c_while_a_source_opens_ends_quietly_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"rtsp://127.0.0.1:{listener.getsockname()[1]}/door"
        with start("run", url, "--open-timeout", "600", stderr=-1) as process:
            listener.settimeout(SOON_S)
            # Held open: a connection that ends is an error of its own, and may come first.
            with listener.accept()[0]:
                process.send_signal(signal.SIGINT)
                _, stderr = process.communicate(timeout=SOON_S)
    assert process.returncode == 130
    # The end of the line on which a terminal shows ^C.
    assert stderr == "\n"
