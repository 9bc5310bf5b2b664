"""Every `vwt` command line that the deployment files give is one that `vwt` takes."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from dockerfile_parse import DockerfileParser

from tests.deploy.files import DEPLOY, KUBERAY, ROOT, document
from workers.cli import cli

_DOCUMENTS = [
    *sorted(DEPLOY.rglob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(ROOT.glob("*.md")),
]
_FENCED = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(vwt [^`]+)`")
# What stands before the words that `vwt` gets: a path to it, or a container whose entry point it is.
_BEFORE = re.compile(
    r"(?:^|(?<=[\s(]))"
    r"(?:vwt-stream:\S+|docker compose (?:\S+ )*?(?:run|exec) (?:-\S+ )*vwt(?: vwt)?|(?:\S*/bin/)?vwt) "
)


def words_for_vwt(line: str) -> list[str] | None:
    """The words that `vwt` gets in a shell line; None where it is not called."""
    if line.lstrip().startswith(("#", "docker build", "kubectl", "helm")):
        return None
    found = _BEFORE.search(line)
    if found is None:
        return None
    command = re.split(r"[|;)]|&&|(?<!\S)\d?>", line[found.end() :])[0]
    return shlex.split(command, comments=True)


def in_documents() -> list[tuple[str, list[str]]]:
    found = []
    for path in _DOCUMENTS:
        text = path.read_text()
        lines = [line for block in _FENCED.findall(text) for line in block.replace("\\\n", " ").splitlines()]
        for line in [*lines, *_INLINE.findall(_FENCED.sub("", text).replace("\n", " "))]:
            words = words_for_vwt(line)
            if words is not None:
                found.append((path.name, words))
    return found


def in_files() -> list[tuple[str, list[str]]]:
    with (DEPLOY / "Dockerfile").open("rb") as file:
        lines = DockerfileParser(fileobj=file).structure
    (command,) = [json.loads(line["value"]) for line in lines if line["instruction"] == "CMD"]
    unit = (DEPLOY / "vwt-run@.service").read_text()
    (start,) = re.findall(r"^ExecStart=\S+/vwt (.*)$", unit, re.MULTILINE)
    compose = document(DEPLOY / "compose.yaml")["services"]["vwt"]["command"]
    comments = [
        line
        for path in (KUBERAY, DEPLOY, DEPLOY / "helm" / "vwt")
        for file in sorted(path.iterdir())
        for line in _comments(file)
    ]
    return [
        ("Dockerfile", command),
        ("vwt-run@.service", shlex.split(start)),
        ("compose.yaml", compose),
        *comments,
    ]


def _comments(path: Path) -> list[tuple[str, list[str]]]:
    if path.is_dir() or path.suffix == ".md":
        return []
    return [
        (path.name, shlex.split(command.removeprefix("vwt ")))
        for command in _INLINE.findall(path.read_text())
    ]


def test_commands_are_found_wherever_they_may_stand():
    tokens = ["token", "alice", "--file", "t"]
    assert words_for_vwt("sudo /opt/vwt/bin/vwt token alice --file t   # made once") == tokens
    assert words_for_vwt("docker run --rm vwt-stream:1-cpu token alice --file t > out") == tokens
    assert words_for_vwt("A=$(docker compose run --rm vwt token alice --file t)") == tokens
    assert words_for_vwt("docker compose exec vwt vwt token alice --file t | cat") == tokens
    assert words_for_vwt("sudo mkdir -p /etc/vwt /var/lib/vwt") is None
    assert words_for_vwt("sudo systemctl enable --now vwt-run@gate") is None
    assert words_for_vwt("docker build -t vwt-stream:1-cpu .") is None


def test_the_documents_have_the_commands_that_they_should():
    commands = {words[0] for _, words in in_documents()}

    assert {"run", "serve", "streams", "token", "doctor"} <= commands


def ids(command: tuple[str, list[str]]) -> str:
    return f"{command[0]}: {' '.join(command[1])}"


@pytest.mark.parametrize("command", [*in_documents(), *in_files()], ids=ids)
def test_vwt_takes_the_command(command):
    _, words = command
    # Click reads the whole line before it gives help, so an option that is none is refused.
    done = CliRunner().invoke(cli, [*words, "--help"])

    assert done.exit_code == 0, done.output
    assert done.output.startswith("Usage: ")


def test_an_option_that_is_none_is_refused_in_spite_of_help():
    # So that the test above can fail.
    assert CliRunner().invoke(cli, ["serve", "--prot", "1", "--help"]).exit_code == 2
