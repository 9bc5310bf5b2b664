"""What is left of a run that is interrupted, killed, or whose reader goes away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import av
import pytest

from tests.e2e.command import NULL, SOON_S, Running, interrupt_until_it_ends, results_of, small_pipe, start
from tests.e2e.schema import check_results
from tests.e2e.terminal import HIDE_CURSOR, SHOW_CURSOR, on_a_terminal

# The long clip holds 1,200 frames: far more results than a pipe takes before it makes the run wait.
FRAMES = 1200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interrupted_run_ends_with_whole_results_a_summary_and_a_video_that_plays(
    number: signal.Signals, long_clip: Path, tmp_path: Path
) -> None:
    video = tmp_path / "annotated.mp4"
    with Running(long_clip, *NULL, "--annotate", video) as run:
        run.read(3)
        assert run.finish(number) == 0
        check_results(run.results)
        assert 3 < len(run.results) < FRAMES
        assert f"frames       {len(run.results)} in " in run.stderr
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) == len(run.results)


def test_a_second_ctrl_c_ends_a_run_that_cannot_end_by_itself(long_clip: Path) -> None:
    with Running(long_clip, *NULL, "--batch", "64") as run:
        assert run.process.stdout is not None
        small_pipe(run.process.stdout.fileno())
        run.read(1)
        # We read no more, and the rest of the batch does not go into the pipe: the run hangs in writing.
        assert interrupt_until_it_ends(run.process) == 130


def test_a_killed_run_leaves_whole_lines(long_clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    out.touch()
    with (
        subprocess.Popen(["tail", "-n", "+1", "-f", out], stdout=subprocess.PIPE, text=True) as tail,
        start("run", long_clip, *NULL, "--out", out, stderr=subprocess.DEVNULL) as run,
    ):
        assert tail.stdout is not None
        assert json.loads(tail.stdout.readline())["frame"] == 0
        run.kill()
        tail.kill()
    text = out.read_text()
    whole, _, _rest = text.rpartition("\n")
    results = results_of(whole)
    check_results(results)
    assert len(results) < FRAMES


def test_a_reader_that_has_enough_ends_a_run_quietly(long_clip: Path, tmp_path: Path) -> None:
    video = tmp_path / "annotated.mp4"
    with Running(long_clip, *NULL, "--annotate", video) as run:
        assert run.process.stdout is not None
        run.read(3)
        run.process.stdout.close()
        assert run.process.wait(SOON_S) == 0
    assert run.stderr == ""
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 3


def test_a_command_whose_output_nobody_reads_ends_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with start("models", "vit_small*", stdout=writer, stderr=subprocess.PIPE) as process:
        os.close(writer)
        _, stderr = process.communicate(timeout=SOON_S)
    assert (process.returncode, stderr) == (0, "")


def test_ctrl_c_while_torch_loads_ends_at_once_and_leaves_old_results_alone(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    out.write_text("from an earlier run\n")
    with on_a_terminal("run", "sample:bikes", "--out", out) as (process, terminal):
        terminal.read_until("loading torch")
        process.send_signal(signal.SIGINT)
        text = terminal.read_to_end()
        assert process.wait(SOON_S) == 130
    assert "Traceback" not in text
    assert text.rindex(SHOW_CURSOR) > text.rindex(HIDE_CURSOR)
    assert out.read_text() == "from an earlier run\n"
