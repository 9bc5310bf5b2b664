from __future__ import annotations

import json
import os
import resource
import stat
from pathlib import Path

import pytest

from tests.vocab.servers import eventually
from tests.workers.sinks.conftest import Bench
from workers.sinks.jsonl import JsonlFile
from workers.sinks.sink import SinkError

LINES = [b'{"stream":"gate","frame":%d}' % number for number in range(4)]


def _frames(path: Path) -> list[int]:
    return [json.loads(line)["frame"] for line in path.read_text().splitlines()]


def test_every_result_becomes_a_line_in_order(bench: Bench, tmp_path: Path) -> None:
    sink = {"kind": "jsonl", "path": str(tmp_path / "out.jsonl")}
    bench.deliver(sink)
    for count in (1, 250, 3):
        bench.results(count)
    bench.caught_up(sink)
    assert _frames(tmp_path / "out.jsonl") == list(range(254))


def test_whoever_takes_over_goes_on_where_the_last_one_was(bench: Bench, tmp_path: Path) -> None:
    sink = {"kind": "jsonl", "path": str(tmp_path / "out.jsonl")}
    first = bench.deliver(sink)
    bench.results(5)
    bench.caught_up(sink)
    first.stop()
    bench.results(5)
    bench.deliver(sink)
    bench.caught_up(sink)
    assert _frames(tmp_path / "out.jsonl") == list(range(10))


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonlFile(path)
    sink.write(LINES[:2])
    path.rename(tmp_path / "out.jsonl.1")
    sink.write(LINES[2:])
    assert _frames(tmp_path / "out.jsonl.1") == [0, 1]
    assert _frames(path) == [2, 3]


def test_a_new_file_is_for_its_user_alone_and_one_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    given = tmp_path / "given.jsonl"
    given.touch()
    given.chmod(0o640)
    before = os.umask(0o000)
    try:
        for path in (tmp_path / "new.jsonl", given):
            JsonlFile(path).write(LINES)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new.jsonl").stat().st_mode) == 0o600
    assert stat.S_IMODE(given.stat().st_mode) == 0o640


@pytest.mark.parametrize("cut", [1, 10, len(LINES[2]) - 1])
def test_a_line_that_a_crash_cut_short_is_taken_out(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(LINES[0] + b"\n" + LINES[1] + b"\n" + LINES[2][:cut])
    JsonlFile(path).write(LINES[2:])
    assert _frames(path) == [0, 1, 2, 3]


def test_a_long_line_that_a_crash_cut_short_is_taken_out_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(LINES[0] + b"\n" + b'{"stream":"gate","embedding":[' + b"0.5," * 50_000)
    JsonlFile(path).write(LINES[1:])
    assert _frames(path) == [0, 1, 2, 3]


@pytest.mark.parametrize("text", [b"a note of mine", LINES[0]])
def test_a_last_line_without_an_end_that_is_not_a_torn_result_stays(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(text)
    JsonlFile(path).write(LINES[1:2])
    assert path.read_bytes() == text + b"\n" + LINES[1] + b"\n"


def test_a_file_that_may_not_grow_keeps_whole_lines_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonlFile(path)
    sink.write(LINES[:2])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, before[1]))
    try:
        with pytest.raises(SinkError, match=r"cannot write .*out.jsonl: File too large; make room"):
            sink.write(LINES[2:])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert _frames(path) == [0, 1]
    sink.write(LINES[2:])
    assert _frames(path) == [0, 1, 2, 3]


def test_results_wait_for_a_folder_that_is_gone(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    sink = {"kind": "jsonl", "path": str(folder / "out.jsonl")}
    bench.deliver(sink)
    bench.results(3)
    eventually(lambda: bench.status(sink)["error"])
    assert "cannot write" in bench.status(sink)["error"]
    assert bench.status(sink)["lag"] == 3
    folder.mkdir()
    bench.caught_up(sink)
    assert _frames(folder / "out.jsonl") == [0, 1, 2]
    assert bench.status(sink)["error"] is None
