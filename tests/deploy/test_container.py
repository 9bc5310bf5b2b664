"""The container image, as far as it can be judged without building it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

from tests.deploy.files import DEPLOY, ROOT

DOCKERFILE = DEPLOY / "Dockerfile"
PACKAGES = ("vocab", "pipeline", "workers")


def instructions() -> list[tuple[str, str]]:
    with DOCKERFILE.open("rb") as file:
        parsed = DockerfileParser(fileobj=file).structure
    return [(one["instruction"], one["value"]) for one in parsed if one["instruction"] != "COMMENT"]


def stages() -> dict[str, list[tuple[str, str]]]:
    """What each named stage does itself, its FROM first."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, value in instructions():
        if name == "FROM":
            stage = found.setdefault(value.split()[-1], [])
        stage.append((name, value))
    return found


def in_image(target: str) -> list[tuple[str, str]]:
    """All that makes an image: what it inherits, then its own."""
    own = stages()[target]
    base = own[0][1].split()[0]
    return (in_image(base) if base in stages() else []) + own


def last(target: str, instruction: str) -> str:
    return [value for name, value in in_image(target) if name == instruction][-1]


def test_a_linter_finds_nothing():
    hadolint = Path(sys.executable).with_name("hadolint")

    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_each_target_runs_vwt_as_somebody_who_is_not_root(target):
    assert json.loads(last(target, "ENTRYPOINT")) == ["vwt"]
    # A number: Kubernetes cannot tell who a name is.
    assert int(last(target, "USER")) > 0


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_nothing_is_installed_in_the_stage_that_is_kept(target):
    runs = " ".join(value for name, value in in_image(target) if name == "RUN")

    assert not re.search(r"\b(pip|apt-get|apt|gcc|curl|wget)\b", runs)


def test_every_base_is_a_tagged_standard_image():
    bases = {value.split()[0] for name, value in instructions() if name == "FROM"} - set(stages())

    assert bases == {"python:3.11-slim-bookworm"}


def test_everything_that_is_installed_is_pinned_or_our_own():
    installs = [value for name, value in instructions() if name == "RUN" and "pip install" in value]

    assert len(installs) == 2
    for command in installs:
        assert "--constraint constraints.txt" in command or "--no-deps ." in command


@pytest.mark.parametrize("path", [DOCKERFILE, *sorted(DEPLOY.glob("compose*.yaml"))], ids=lambda p: p.name)
def test_no_registry_is_named(path):
    assert not re.search(r"https?://(?!127\.)[\w-]+\.|\b[a-z0-9-]+\.(io|com|org)/", path.read_text())


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server whose /healthz answers with `status`; its port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def health_check(port: int) -> int:
    """Exit code of the image's own health check, run here."""
    program, *arguments = json.loads(last("cpu", "HEALTHCHECK").partition(" CMD ")[2])
    assert program == "python"
    # Only what the image sets, and the port.
    environment = {"VWT_PORT": str(port), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, check=False)
    return done.returncode


def test_the_health_check_passes_when_the_service_says_it_lives():
    with answering(200) as port:
        assert health_check(port) == 0


def test_the_health_check_fails_when_the_service_is_ill_or_absent(unused_port):
    with answering(503) as port:
        assert health_check(port) != 0
    assert health_check(unused_port) != 0


def tracked(*folders: str) -> list[str]:
    """Files of the repository that an image would be built of."""
    listed = subprocess.run(["git", "ls-files", "--", *folders], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip(f"no git repository here: {listed.stderr.strip()}")
    return [path for path in listed.stdout.splitlines() if (ROOT / path).is_file()]


def test_the_build_gets_the_files_it_copies_and_no_others():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        word
        for name, value in instructions()
        if name == "COPY" and "--from" not in value
        for word in value.split()[:-1]
    }

    assert copied == allowed
    assert all((ROOT / name).exists() for name in allowed)


def test_the_installed_package_has_every_file_of_the_three_folders(tmp_path):
    # Pages and other data files are easily left out of a package, and seen in a checkout all the same.
    files = tracked(*PACKAGES, "pyproject.toml", "README.md", "LICENSE")
    for path in files:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]

    subprocess.run([*build, "--wheel-dir", tmp_path / "out", tmp_path], check=True, capture_output=True)

    (wheel,) = (tmp_path / "out").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith(PACKAGES)}
    assert packed == {path for path in files if path.startswith(PACKAGES)}
