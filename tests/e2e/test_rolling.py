"""Words that live, end to end: relearned while a camera runs, shared through a server, through its death."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RtspServer
from tests.e2e.command import Running, refused, succeeds
from vocab.embedded import server_binary

# A small window that fills in a second, and words that are old after two.
QUICK = (
    "--tokenizer",
    "inter",
    "--words",
    "50",
    "--warmup-frames",
    "4",
    "--window-fps",
    "10",
    "--window-patches",
    "64",
)
RELEARN = (*QUICK, "--relearn-after", "2", "--fps", "4", "--batch", "1")


class KillableServer:
    """A valkey-server that keeps nothing on disk, so a restart finds it empty."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = f"unix://{folder}/socket"
        self.start()

    def start(self) -> None:
        (self._folder / "socket").unlink(missing_ok=True)
        command = [server_binary(), "--port", "0", "--unixsocket", f"{self._folder}/socket", "--save", ""]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=self._folder, text=True)
        assert self._process.stdout is not None
        assert any("Ready to accept connections" in line for line in self._process.stdout)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillableServer]:
    running = KillableServer(tmp_path_factory.mktemp("redis"))
    yield running
    running.kill()


def read_until_version(run: Running, version: int) -> None:
    """Reads results until one names the version or a later one."""
    for _ in range(400):
        if (run.read(1)[0]["vocab_version"] or 0) >= version:
            return
    raise AssertionError(f"no result with version {version}: {run.stderr}")


def test_a_camera_learns_relearns_and_says_so(rtsp_server: RtspServer) -> None:
    with Running(rtsp_server.url, *RELEARN) as run:
        read_until_version(run, 2)
        assert run.finish(signal.SIGINT) == 0

    versions = [result["vocab_version"] or 0 for result in run.results]
    assert versions == sorted(versions)
    assert versions[0] == 0
    assert "words version 1 (50 words" in run.stderr
    assert "words version 2 (50 words; age:" in run.stderr


def test_a_second_process_starts_with_the_words_of_the_scope(
    rtsp_server: RtspServer, server: KillableServer
) -> None:
    shared = ("--redis", server.url, "--scope", "yard")
    with Running(rtsp_server.url, *QUICK, *shared, "--fps", "4", "--batch", "1") as first:
        read_until_version(first, 1)
        with Running(rtsp_server.url, *QUICK, *shared, "--exact", "--fps", "4", "--batch", "1") as second:
            (result,) = second.read(1)
            assert second.finish(signal.SIGINT) == 0
        assert first.finish(signal.SIGINT) == 0

    assert result["vocab_version"] >= 1
    assert result["tokens"]["kept"] < result["tokens"]["full"]


def test_predictions_go_on_while_redis_is_dead_and_have_new_words_within_two_periods_of_its_return(
    rtsp_server: RtspServer, server: KillableServer
) -> None:
    # Long enough that the keeper's look every five seconds fits in twice over, on a busy machine too.
    period_s = 8
    relearn = (*RELEARN, "--exact", "--relearn-after", str(period_s), "--redis", server.url)
    with Running(rtsp_server.url, *relearn) as run:
        read_until_version(run, 1)
        server.kill()
        run.hear("the words at hand go on")
        during = run.read(12)
        server.start()
        back_at = time.monotonic()
        run.hear("answers again")
        read_until_version(run, max(result["vocab_version"] for result in during) + 1)
        waited_s = time.monotonic() - back_at
        assert run.finish(signal.SIGINT) == 0

    print(f"a result with new words {waited_s:.1f} s after Redis was back, at periods of {period_s} s")
    assert waited_s <= 2 * period_s
    assert all(result["tokens"]["kept"] < result["tokens"]["full"] for result in during)
    assert run.stderr.count("the words at hand go on") == 1
    versions = [result["vocab_version"] or 0 for result in run.results]
    # The empty server counts on from what was in use: a number never names other words.
    assert versions == sorted(versions)


def test_redis_away_at_the_start_is_one_line_and_exit_5() -> None:
    line = refused(
        "run", "sample:carphone", "--tokenizer", "inter", "--redis", "redis://me:s3cret@127.0.0.1:1/0", code=5
    )

    assert "--window memory" in line
    assert "s3cret" not in line


def test_redis_away_at_the_start_does_not_matter_with_a_window_in_memory(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    gone = ("--redis", "redis://127.0.0.1:1/0", "--window", "memory")
    succeeds("run", "sample:carphone", *QUICK, *gone, "--fps", "4", "--out", out)

    assert out.read_text().count("\n") > 8


def test_a_scope_of_another_model_is_refused(server: KillableServer) -> None:
    shared = ("--redis", server.url, "--scope", "yard")
    succeeds("run", "sample:carphone", *QUICK, *shared, "--fps", "4")

    other = ("--model", "vit_tiny_patch16_224", "--weights", "random")
    line = refused("run", "sample:carphone", *QUICK, *shared, *other, code=2)
    assert "patch size 14, the model 16; use another scope" in line


def test_without_a_url_a_server_of_our_own_is_started_and_ended() -> None:
    done = succeeds("run", "sample:carphone", *QUICK, "--window", "redis", "--fps", "4")

    assert "words version 1" in done.stderr
