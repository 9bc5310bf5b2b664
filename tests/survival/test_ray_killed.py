"""kill -9 of every kind of process beneath `vwt serve`: it serves again, or it ends and says so."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.survival.conftest import PLAYED
from tests.survival.outcomes import record
from tests.survival.service import PATIENCE_S, Service, until

pytestmark = pytest.mark.survival

# What the name or the command line of a process holds, and whether the service goes on without it.
# Ingest and Inference are killed in test_workers_killed.py.
KINDS = {
    "gcs_server": False,
    "raylet": False,
    "DashboardAgent": False,
    "RuntimeEnvAgent": False,
    "log_monitor.py": True,
    "monitor.py": True,
    "dashboard.py": True,
    "ServeController": True,
    "vwt-guard": True,
    "valkey-server": True,
    "Gateway": True,
    "VocabularyKeeper": True,
}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Service]:
    """A service with a Redis of its own."""
    service = Service(tmp_path, {})
    yield service
    service.stop()


def _beneath(service: Service) -> list[psutil.Process]:
    return service.process().children(recursive=True)


def _is(process: psutil.Process, kind: str) -> bool:
    # Of a script, whose name another's may end with.
    return process.name() == kind or (f"/{kind}" if kind.endswith(".py") else kind) in _title(process)


def _kill(processes: list[psutil.Process], *kinds: str) -> None:
    for kind in kinds:
        found = [one for one in processes if _is(one, kind)]
        assert found, f"no {kind} among {[_title(one) for one in processes]}"
        # The guard names the server in its own command line.
        found.sort(key=lambda one: one.name() != kind)
        found[0].kill()


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:300]
    except psutil.Error:
        return ""


def _ended(service: Service, processes: list[psutil.Process]) -> None:
    """It ended with 5 and one line, and nothing of it is left."""
    code = service._process.wait(PATIENCE_S)
    said = (service.folder / "serve.log").read_text().strip().splitlines()
    assert code == 5, said[-20:]
    assert said[-1].startswith("vwt: Ray's process "), said[-20:]
    left = [one for one in psutil.wait_procs(processes, 10)[1] if one.status() != psutil.STATUS_ZOMBIE]
    assert left == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_service_that_loses_a_process_serves_again_or_ends(own: Service, clip: Path, kind: str) -> None:
    stream = own.add(clip, name="played", **PLAYED)
    tail = own.tail(stream)
    tail.more(20)
    processes = _beneath(own)
    killed_at = time.monotonic()
    _kill(processes, kind)
    if KINDS[kind]:
        tail.more(60)
        until(own.ready, PATIENCE_S, "it is not ready again")
    else:
        _ended(own, processes)
        own.start()
        tail.more(60)
    tail.stop()
    tail.check_once_each()
    promised = "it serves again" if KINDS[kind] else "it ends with exit 5, and goes on where it was"
    record(f"kill -9 of {kind}", promised, tail.longest_pause_s(killed_at), "no frame of a file")


def test_every_process_is_of_a_kind_that_is_killed_here(own: Service, clip: Path) -> None:
    own.tail(own.add(clip, name="played", **PLAYED)).more(1)
    kinds = (*KINDS, "Ingest", "Inference")
    others = [_title(one) for one in _beneath(own) if not any(_is(one, kind) for kind in kinds)]
    assert others == []


def test_nothing_is_left_of_a_service_that_is_killed_and_it_goes_on_where_it_was(
    own: Service, clip: Path
) -> None:
    tail = own.tail(own.add(clip, name="played", **PLAYED))
    tail.more(20)
    processes = _beneath(own)
    killed_at = time.monotonic()
    own.kill()
    # Ray's agents look for their raylet every now and then.
    psutil.wait_procs(processes, PATIENCE_S)
    assert [
        _title(one) for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE
    ] == []
    own.start()
    tail.more(60)
    tail.stop()
    tail.check_once_each()
    promised = "nothing of it is left; started again it goes on where it was"
    record("kill -9 of `vwt serve`", promised, tail.longest_pause_s(killed_at), "no frame of a file")


def test_a_service_without_ray_still_heeds_sigterm(own: Service) -> None:
    processes = _beneath(own)
    _kill(processes, "gcs_server", "raylet")
    own._process.send_signal(signal.SIGTERM)
    try:
        own._process.wait(60)
    except subprocess.TimeoutExpired:
        own._process.kill()
        raise
    left = [one for one in psutil.wait_procs(processes, 10)[1] if one.status() != psutil.STATUS_ZOMBIE]
    assert left == []
