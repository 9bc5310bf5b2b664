"""The real `vwt` command in a process of its own."""

from __future__ import annotations

import fcntl
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

VWT = str(Path(sys.executable).with_name("vwt"))
# Far beyond what anything takes; only a hang comes this far.
PATIENCE_S = 240
# For what must fail or end at once; starting torch has taken up to half of it on a busy machine.
SOON_S = 120
NULL = ("--model", "null", "--tokenizer", "full", "--meter", "estimate")

# No terminal settings and no model cache of whoever runs the tests; the hub is a port nobody listens on.
_ENVIRONMENT = {
    **{k: v for k, v in os.environ.items() if not k.startswith(("HF_", "VWT_", "FORCE_COLOR", "COLUMNS"))},
    "HF_HOME": "/nonexistent/hub",
    "HF_ENDPOINT": "http://127.0.0.1:9",
    "TERM": "xterm-256color",
}


def vwt(
    *arguments: str | Path, patience_s: float = PATIENCE_S, tree: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end; see `start` for `tree`."""
    return subprocess.run(
        [VWT, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=patience_s,
        check=False,
        env=_environment(tree),
    )


def succeeds(*arguments: str | Path, tree: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the command, which must exit with 0; see `start` for `tree`."""
    done = vwt(*arguments, tree=tree)
    assert done.returncode == 0, done.stderr
    return done


def refused(*arguments: str | Path, code: int) -> str:
    """Runs a command that must fail soon, with that exit code and one line; returns the line."""
    done = vwt(*arguments, patience_s=SOON_S)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("vwt: ")
    assert done.stderr.endswith("\n")
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def start(*arguments: str | Path, tree: Path | None = None, **settings: Any) -> subprocess.Popen[str]:
    """Starts the command; what it writes goes where `settings` (of Popen) say.

    Args:
        arguments: of the command.
        tree: a folder with another copy of our packages, which then run; None for those installed.
        settings: of Popen.
    """
    # Ray's workers look in the folder that they were started in first.
    return subprocess.Popen(
        [VWT, *map(str, arguments)], text=True, env=_environment(tree), cwd=tree, **settings
    )


def _environment(tree: Path | None) -> dict[str, str]:
    return _ENVIRONMENT if tree is None else _ENVIRONMENT | {"PYTHONPATH": str(tree)}


def small_pipe(fd: int) -> None:
    """Makes a pipe hold one page, the least there is, so that who writes soon waits for its reader."""
    fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, 4096)


def interrupt_until_it_ends(process: subprocess.Popen[str]) -> int:
    """Presses Ctrl-C again and again, as one does when a program does not end; its exit code."""
    for _ in range(10 * PATIENCE_S):
        process.send_signal(signal.SIGINT)
        try:
            return process.wait(0.1)
        except subprocess.TimeoutExpired:
            pass
    raise AssertionError("it does not end")


def results_of(text: str) -> list[dict[str, Any]]:
    """The results in JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


class Running:
    """`vwt run ... --out -` while it runs. Results are read one at a time, so a long run waits for us."""

    def __init__(self, *arguments: str | Path) -> None:
        self.process = start(
            "run", *arguments, "--out", "-", stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=1
        )
        self.results: list[dict[str, Any]] = []
        self.stderr = ""
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._watchdog = threading.Timer(PATIENCE_S, self.process.kill)
        self._watchdog.start()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self._watchdog.cancel()
        self.process.kill()
        self.process.wait()
        self._listener.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def read(self, count: int) -> list[dict[str, Any]]:
        """The next `count` results, waiting for them."""
        assert self.process.stdout is not None
        fresh = []
        for _ in range(count):
            line = self.process.stdout.readline()
            assert line, f"no more results; stderr: {self.stderr}"
            fresh.append(json.loads(line))
        self.results += fresh
        return fresh

    def hear(self, text: str) -> None:
        """Waits until a line on standard error holds `text`."""
        while (line := self._lines.get(timeout=PATIENCE_S)) is not None:
            if text in line:
                return
        raise AssertionError(f"it ended without saying {text!r}: {self.stderr}")

    def finish(self, number: signal.Signals | None = None) -> int:
        """Sends a signal, reads all that is still written, and returns the exit code."""
        if number is not None:
            self.process.send_signal(number)
        assert self.process.stdout is not None
        self.results += results_of(self.process.stdout.read())
        code = self.process.wait(PATIENCE_S)
        self._listener.join()
        return code

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.stderr += line
            self._lines.put(line)
        self._lines.put(None)
