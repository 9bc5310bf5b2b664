"""Command lines of the deployment files, run here: options are theirs, only places and ports are not."""

from __future__ import annotations

import json
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.deploy.files import DEPLOY, document
from tests.deploy.test_commands import in_files
from tests.vocab.servers import eventually, unused_port

_SERVICES = document(DEPLOY / "compose.yaml")["services"]
_VWT = Path(sys.executable).with_name("vwt")


def vwt(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_VWT, *words], env=os.environ | environment, capture_output=True, text=True, check=True, timeout=60
    )


def read_until(process: subprocess.Popen[bytes], wanted: bytes) -> bytes:
    """What a process says up to `wanted`."""
    assert process.stdout is not None
    said = b""
    while wanted not in said:
        assert select.select([process.stdout], [], [], 60)[0], said
        part = os.read(process.stdout.fileno(), 65536)
        assert part, said
        said += part
    return said


def test_the_image_says_how_it_is_used_when_it_is_given_no_command():
    command = next(words for name, words in in_files() if name == "Dockerfile")

    assert vwt(*command).stdout.startswith("Usage: ")


def test_the_service_of_compose_is_configured_as_its_file_says():
    words = _SERVICES["vwt"]["command"]
    image = {"VWT_PORT": "8000", "VWT_DATA_FOLDER": "/var/lib/vwt"}

    settings = yaml.safe_load(
        vwt(*words, "--print-config", **image, **_SERVICES["vwt"]["environment"]).stdout
    )

    assert (settings["host"], settings["port"], settings["ray_metrics_port"]) == ("0.0.0.0", 8000, 8080)
    assert settings["redis"] == "redis://redis:6379/0"
    assert settings["access"]["token_file"] == "/etc/vwt/tokens"


def test_prometheus_starts_with_the_options_and_the_configuration_of_compose(tmp_path):
    program = shutil.which("prometheus") or pytest.skip("no prometheus: apt-get install prometheus")
    text = (DEPLOY / "compose.prometheus.yml").read_text()
    (tmp_path / "compose.yml").write_text(
        text.replace("/etc/prometheus/rules.yml", str(DEPLOY / "prometheus" / "rules.yml")).replace(
            "/run/secrets/prometheus-token", str(tmp_path / "token")
        )
    )
    (tmp_path / "token").write_text("vwt_x")
    command = [
        word.replace("/etc/prometheus", str(tmp_path)).replace("=/prometheus", f"={tmp_path}/data")
        for word in _SERVICES["prometheus"]["command"]
    ]
    process = subprocess.Popen(
        [program, *command, f"--web.listen-address=127.0.0.1:{unused_port()}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        said = read_until(process, b"ready to receive web requests")
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()

    assert b"level=error" not in said


def test_the_unit_writes_results_and_ends_whole_when_it_is_stopped(tmp_path, rtsp_server):
    unit = (DEPLOY / "vwt-run@.service").read_text()
    (start,) = [line.partition("=")[2] for line in unit.splitlines() if line.startswith("ExecStart=")]
    places = {"/opt/vwt/bin/vwt": str(_VWT), "/var/lib/vwt": str(tmp_path), "%i": "gate"}
    for place, here in places.items():
        assert place in start
        start = start.replace(place, here)
    # The null model, which is loaded at once; at the end, as options may stand.
    command = [
        *shlex.split(start.replace("${SOURCE}", rtsp_server.url)),
        "--model",
        "null",
        "--tokenizer",
        "full",
    ]
    results = tmp_path / "gate.jsonl"
    process = subprocess.Popen(command)
    try:
        eventually(lambda: results.exists() and results.stat().st_size > 0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()

    lines = results.read_text().splitlines()
    assert [json.loads(line)["frame"] for line in lines] == list(range(len(lines)))
    assert lines
