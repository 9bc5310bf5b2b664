import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import UsageError, VwtError
from pipeline.outputs.jsonl import JsonlWriter
from tests.pipeline.outputs.examples import a_result

WRITER = """
import sys
from pipeline.outputs.jsonl import JsonlWriter
from tests.pipeline.outputs.examples import a_result
sink = JsonlWriter(sys.argv[1])
frame = 0
try:
    while True:
        sink.write(a_result(frame))
        frame += 1
        if frame == 500:
            print("written", file=sys.stderr, flush=True)
except BrokenPipeError:
    sys.exit(77)
"""


def writer(out: str, **pipes: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, out], **pipes)


def test_each_result_is_one_line_with_the_object_of_the_design(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    with JsonlWriter(out) as sink:
        sink.write(a_result(0))
        sink.write(a_result(1))
    lines = out.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [a_result(0).to_dict(), a_result(1).to_dict()]


def test_a_result_is_in_the_file_before_the_sink_is_closed(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    with JsonlWriter(out) as sink:
        sink.write(a_result(0))
        assert json.loads(out.read_text())["frame"] == 0


def test_an_existing_file_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    out.write_text("old\n" * 1000)
    with JsonlWriter(out) as sink:
        sink.write(a_result(0))
    assert len(out.read_text().splitlines()) == 1


def test_a_killed_run_leaves_whole_lines_but_for_the_last(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    with writer(str(out), stderr=subprocess.PIPE) as child:
        assert child.stderr is not None
        assert child.stderr.readline() == b"written\n"
        child.kill()
    whole = out.read_bytes().split(b"\n")[:-1]
    assert len(whole) >= 500
    assert [json.loads(line)["frame"] for line in whole] == list(range(len(whole)))


def test_a_reader_that_goes_away_ends_the_run_with_a_broken_pipe() -> None:
    with writer("-", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        assert json.loads(child.stdout.readline())["frame"] == 0
        child.stdout.close()
        assert child.wait(60) == 77


def test_closing_a_sink_on_standard_output_leaves_standard_output_open() -> None:
    script = "from pipeline.outputs.jsonl import JsonlWriter; JsonlWriter('-').close(); print('still open')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "still open\n"


def test_a_folder_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--out .*: Is a directory; give --out a file inside it"):
        JsonlWriter(tmp_path)


def test_a_missing_folder_is_named_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"create the folder .*missing first"):
        JsonlWriter(tmp_path / "missing" / "results.jsonl")


def test_a_full_disk_is_one_clear_error() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with (
        JsonlWriter("/dev/full") as sink,
        pytest.raises(VwtError, match="/dev/full: No space left on device"),
    ):
        sink.write(a_result(0))


def test_a_closed_sink_takes_no_more_results(tmp_path: Path) -> None:
    sink = JsonlWriter(tmp_path / "results.jsonl")
    sink.close()
    sink.close()
    with pytest.raises(ValueError, match="closed"):
        sink.write(a_result(0))


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    # A limit on the size of files stands in for a disk that is full in the middle of the third line.
    write = (
        "import resource, sys\n"
        "from pipeline.errors import VwtError\n"
        "from pipeline.outputs.jsonl import JsonlWriter\n"
        "from tests.pipeline.outputs.examples import a_result\n"
        "line = len(a_result(0).to_json()) + 1\n"
        "writer = JsonlWriter(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2 * line + line // 2, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    for frame in range(5): writer.write(a_result(frame))\n"
        "except VwtError as error: print(error)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", write, str(path)], capture_output=True, text=True, check=True
    )
    assert "what was written so far is kept" in told.stdout
    assert [json.loads(line)["frame"] for line in path.read_text().splitlines()] == [0, 1]
    assert path.read_text().endswith("\n")
