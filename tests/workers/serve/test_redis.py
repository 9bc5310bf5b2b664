import os
import select
import signal

import pytest

from pipeline.errors import ServiceError
from vocab.connection import connect
from workers.serve.redis import running_redis
from workers.settings.folders import data_folder
from workers.settings.schema import ServiceSettings


def settings(**given) -> ServiceSettings:
    return ServiceSettings(**given)


def kill(url: str) -> None:
    pid = connect(url).info("server")["process_id"]
    ends = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([ends], [], [], 20)[0]
    os.close(ends)


def test_an_embedded_server_that_died_runs_again_under_its_url_with_its_data(tmp_path):
    said = []
    with running_redis(settings(data_folder=tmp_path), said.append) as (url, watch):
        client = connect(url)
        client.set("key", "value")
        client.waitaof(1, 0, 5000)
        watch()
        assert said == []

        kill(url)
        watch()

        assert client.get("key") == b"value"
        assert said == [
            "the embedded Redis ended; it runs again, with all but the last second of what it held"
        ]


def test_a_server_that_was_named_is_used_and_left_running(tmp_path):
    with running_redis(settings(data_folder=tmp_path), print) as (url, _):
        with running_redis(settings(redis=url), print) as (used, watch):
            watch()
            assert used == url
        assert connect(url).ping()


def test_a_server_that_does_not_answer_ends_it_without_quoting_the_password(unused_port):
    url = f"redis://user:hunter2@127.0.0.1:{unused_port}"

    with (
        pytest.raises(ServiceError, match="leave out --redis") as away,
        running_redis(settings(redis=url), print),
    ):
        pass
    assert "hunter2" not in str(away.value)


def test_a_folder_that_another_service_uses_is_reported(tmp_path):
    given = settings(data_folder=tmp_path)

    with (
        running_redis(given, print),
        pytest.raises(ServiceError, match=r"another server keeps its data in .* \(--data-folder\)"),
        running_redis(given, print),
    ):
        pass


def test_data_goes_where_the_desktop_keeps_state(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert data_folder(ServiceSettings()) == tmp_path / "vwt"

    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder(ServiceSettings()) == tmp_path / ".local" / "state" / "vwt"
