"""What a person sees: on a terminal, in a log, and with --quiet."""

from __future__ import annotations

import os
import re
import select
import signal
from pathlib import Path

from tests.e2e.command import NULL, SOON_S, interrupt_until_it_ends, small_pipe, succeeds
from tests.e2e.terminal import CONTROL, HIDE_CURSOR, SHOW_CURSOR, on_a_terminal


def test_a_terminal_shows_progress_then_the_summary_and_has_its_cursor_back(
    long_clip: Path, tmp_path: Path
) -> None:
    # Drawn, since nothing else takes longer than it takes to be shown.
    with on_a_terminal("run", long_clip, *NULL, "--annotate", tmp_path / "drawn.mp4") as (process, terminal):
        text = terminal.read_to_end()
        assert process.wait(SOON_S) == 0
    shown = CONTROL.sub("", text)
    assert re.search(r"\d+ %\s+\d+ frames\s+[\d.]+ fps", shown)
    assert "frames       1200 in " in shown
    assert text.count(HIDE_CURSOR) == text.count(SHOW_CURSOR) > 0
    assert text.rindex(SHOW_CURSOR) > text.rindex(HIDE_CURSOR)


def test_ctrl_c_shows_the_summary_and_gives_the_cursor_back(long_clip: Path, tmp_path: Path) -> None:
    with on_a_terminal("run", long_clip, *NULL, "--annotate", tmp_path / "drawn.mp4") as (process, terminal):
        terminal.read_until(" fps")
        process.send_signal(signal.SIGINT)
        text = terminal.read_to_end()
        assert process.wait(SOON_S) == 0
    assert re.search(r"frames +\d+ in ", CONTROL.sub("", text))
    assert text.rindex(SHOW_CURSOR) > text.rindex(HIDE_CURSOR)


def test_a_second_ctrl_c_gives_the_cursor_back_too(long_clip: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    small_pipe(reader)
    with on_a_terminal("run", long_clip, *NULL, "--batch", "64", "--out", pipe) as (process, terminal):
        # A batch does not go into the pipe: the run hangs in writing it.
        assert select.select([reader], [], [], SOON_S)[0]
        assert interrupt_until_it_ends(process) == 130
        text = terminal.read_to_end()
    os.close(reader)
    assert text.rindex(SHOW_CURSOR) > text.rindex(HIDE_CURSOR)


def test_a_log_gets_lines_without_control_characters() -> None:
    done = succeeds(
        "run",
        "sample:carphone",
        "--tokenizer",
        "inter",
        "--max-frames",
        "12",
        "--warmup-frames",
        "4",
        "--words",
        "50",
    )
    assert "50 words are there" in done.stderr
    assert "frames       12 in " in done.stderr
    assert all(line.isprintable() for line in done.stderr.splitlines())
    assert done.stdout == ""


def test_quiet_says_nothing(tmp_path: Path) -> None:
    out, summary = tmp_path / "results.jsonl", tmp_path / "summary.json"
    done = succeeds("run", "sample:carphone", *NULL, "--quiet", "--out", out, "--json-summary", summary)
    assert done.stderr == done.stdout == ""
    assert len(out.read_text().splitlines()) == 120
    assert summary.stat().st_size


def test_a_clip_shorter_than_its_warm_up_says_that_nothing_was_learned() -> None:
    done = succeeds(
        "run", "sample:carphone", "--tokenizer", "inter", "--max-frames", "4", "--warmup-frames", "8"
    )
    assert "no words were learned before the end, so every frame ran in full" in done.stderr
