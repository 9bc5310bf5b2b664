"""The Redis of the deployments: started as their files say, backed up and restored as README.md says."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import redis

from tests.deploy.files import DEPLOY, KUBERAY, document, documents
from tests.vocab.servers import Server, eventually, unused_port

_COMPOSE = document(DEPLOY / "compose.yaml")["services"]["redis"]
(_STATEFUL_SET,) = [one for one in documents(KUBERAY / "redis.yaml") if one["kind"] == "StatefulSet"]
(_POD,) = _STATEFUL_SET["spec"]["template"]["spec"]["containers"]
_COMMANDS = {"compose": _COMPOSE["command"], "kuberay": _POD["args"]}


class Deployed(Server):
    """A Redis with the options of a deployment, and an end that leaves its data whole."""

    def __init__(self, *options: str) -> None:
        super().__init__("redis", *options, port=unused_port())
        self._options = options
        self.client = redis.Redis(port=self.port)

    def restart(self, *options: str) -> None:
        """Ends it, and starts it on the same data, with `options` if there are any."""
        self.client.shutdown(nosave=True)
        self._process.wait(20)
        if options:
            self._command[1 : 1 + len(self._options)] = options
            self._options = options
        self.start()

    def setting(self, name: str) -> str:
        return self.client.config_get(name)[name]


@pytest.fixture(params=_COMMANDS)
def deployed(request):
    program, *options = _COMMANDS[request.param]
    assert program == "redis-server"
    server = Deployed(*options)
    yield server
    server.close()


def commands(where: str) -> list[list[str]]:
    """What the section "Backup" has Redis run."""
    text = (DEPLOY / "README.md").read_text()
    (section,) = re.findall(r"^## Backup\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    found = re.findall(where + r" (redis-cli [^#\n`]+)", section)
    assert found
    return [shlex.split(command) for command in found]


def run(command: list[str], port: int) -> str:
    if shutil.which("redis-cli") is None:
        pytest.skip("no redis-cli: apt-get install redis-tools")
    program, *words = command
    assert program == "redis-cli"
    done = subprocess.run(
        [program, "-p", str(port), *words], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.strip()


def test_it_starts_with_the_options_of_the_deployment(deployed):
    gigabyte = 2**30

    assert deployed.setting("appendonly") == "yes"
    assert deployed.setting("appendfsync") == "everysec"
    assert deployed.setting("maxmemory-policy") == "noeviction"
    assert int(deployed.setting("maxmemory")) in (2 * gigabyte, 3 * gigabyte)


@pytest.mark.parametrize(
    "check",
    [_COMPOSE["healthcheck"]["test"][1:], _POD["readinessProbe"]["exec"]["command"]],
    ids=["compose", "kuberay"],
)
def test_its_check_of_health_passes_while_it_answers(deployed, check):
    assert run(check, deployed.port) == "PONG"


@pytest.mark.parametrize("deployed", ["compose"], indirect=True)
def test_a_backup_made_and_restored_as_the_readme_says_holds_what_was_there(deployed, tmp_path):
    deployed.client.xadd("results", {"frame": "1"}, id="1-0")
    before = deployed.client.lastsave()

    begin, written = commands("exec redis")
    assert run(begin, deployed.port) == "Background saving started"
    assert run(written, deployed.port).isdigit()
    eventually(lambda: deployed.client.info("persistence")["rdb_bgsave_in_progress"] == 0)
    assert deployed.client.lastsave() >= before
    backup = shutil.copy(deployed.folder / "dump.rdb", tmp_path)

    assert restored(Path(backup)) == [(b"1-0", {b"frame": b"1"})]


def restored(backup: Path) -> object:
    """The results in a Redis that a backup was restored to, once it runs as it is deployed."""
    switch_on, written = commands("exec redis-restore")
    fresh = Deployed("--appendonly", "no")
    try:
        shutil.copy(backup, fresh.folder / "dump.rdb")
        fresh.restart()
        assert run(switch_on, fresh.port) == "OK"
        eventually(lambda: "aof_rewrite_in_progress:0" in run(written, fresh.port))
        fresh.restart(*_COMMANDS["compose"][1:])
        return fresh.client.xrange("results")
    finally:
        fresh.close()
