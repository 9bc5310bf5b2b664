"""`vwt cells`, as people start it."""

from __future__ import annotations

import signal
import subprocess
import sys

import httpx
import pytest

from workers.cli import main

WITHIN_S = 60
COMMAND = [sys.executable, "-c", "from workers.cli import main; main()", "cells"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 2, "Missing argument"),
        (["north"], 2, "give each cell once, as NAME=URL"),
        (["north=http://a:1", "north=http://b:1"], 2, "give each cell once"),
        (["north=ftp://a:1"], 2, "no URL of the cell north"),
        (["north=http://a:1", "--host", "0.0.0.0"], 2, "give --token-file FILE as well"),
    ],
)
def test_what_cannot_be_right_is_said_in_one_line(
    words: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["cells", *words])
    assert ended.value.code == code
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_it_says_where_it_is_answers_and_ends_with_a_signal() -> None:
    nobody = ["north=http://127.0.0.1:9", "south=http://127.0.0.1:9"]
    with subprocess.Popen([*COMMAND, *nobody, "--port", "0"], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            url = said.split("page ", 1)[1].split("/ ", 1)[0]
            assert httpx.get(f"{url}/healthz", timeout=WITHIN_S).json() == {"status": "ok"}
            away = httpx.get(f"{url}/v1/streams", timeout=WITHIN_S)
            assert (away.status_code, away.json()["type"]) == (503, "urn:vwt:problem:unavailable")
            process.send_signal(signal.SIGTERM)
            assert process.wait(WITHIN_S) == 0
        finally:
            process.kill()


# Ctrl-C while pydantic builds a schema, of which it makes an error of its own.
_WHILE_STARTING = """
import os, signal
from pydantic_core import SchemaError
import workers.cells.api as api

def build(*_):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()
    except KeyboardInterrupt as error:
        raise SchemaError(f"Error building model: {error!r}")

api.build_directory = build
from workers.cli import main
main(["cells", "north=http://127.0.0.1:9"])
"""


def test_ctrl_c_while_it_starts_ends_it_quietly_whatever_a_library_makes_of_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WHILE_STARTING],
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN_S,
    )
    assert (done.returncode, done.stderr) == (130, "\n")
