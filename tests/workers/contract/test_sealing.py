"""With a file of keys, nobody who reads Redis or its files learns what opens a camera."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from vocab.connection import RedisClient
from vocab.errors import StoreUnavailable
from workers.contract.keys import STREAMS
from workers.contract.sealing import add_key, use_keys
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore

SECRETS = (b"hunter2", b"s3cret")
GATE = StreamSpec.model_validate(
    {
        "id": "gate",
        "source": "rtsp://viewer:hunter2@camera/live",
        "sinks": [{"kind": "webhook", "url": "https://hooks.example/hunter2", "authorization": "s3cret"}],
    }
)


@pytest.fixture(autouse=True)
def _nothing_sealed() -> Iterator[None]:
    yield
    use_keys(None)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    add_key(path)
    return path


def _held(client: RedisClient) -> bytes:
    value = client.hget(STREAMS, "gate")
    assert isinstance(value, bytes)
    return value


def test_a_sealed_stream_is_kept_changed_and_removed_and_no_secret_is_in_redis(
    client: RedisClient, keys: Path
) -> None:
    use_keys(keys)
    store = StreamStore(client)
    store.add(GATE)
    assert store.get("gate") == GATE
    assert store.change("gate", {"fps": 2.0}).fps == 2.0
    assert store.all()["gate"].source == GATE.source
    assert not any(secret in _held(client) for secret in SECRETS)
    store.remove("gate")
    assert store.all() == {}


def test_what_was_kept_in_clear_is_sealed_once_there_is_a_key(client: RedisClient, keys: Path) -> None:
    store = StreamStore(client)
    store.add(GATE)
    assert SECRETS[0] in _held(client)
    use_keys(keys)
    assert store.get("gate") == GATE
    store.seal()
    assert not any(secret in _held(client) for secret in SECRETS)
    assert store.get("gate") == GATE


def test_keys_are_changed_by_a_new_one_on_top(client: RedisClient, keys: Path) -> None:
    use_keys(keys)
    store = StreamStore(client)
    store.add(GATE)
    old = keys.read_text()
    add_key(keys)
    assert keys.read_text().endswith(old)
    use_keys(keys)
    assert store.get("gate") == GATE
    store.seal()
    keys.write_text(keys.read_text().removesuffix(old))
    use_keys(keys)
    assert store.get("gate") == GATE


def test_sealed_streams_without_their_key_are_said_to_be_and_not_taken_for_none(
    client: RedisClient, keys: Path, tmp_path: Path
) -> None:
    use_keys(keys)
    store = StreamStore(client)
    store.add(GATE)
    add_key(tmp_path / "others")
    for path in (None, tmp_path / "others"):
        use_keys(path)
        with pytest.raises(StoreUnavailable, match="start the service with the --key-file"):
            store.all()


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        (None, 0o600, "cannot read the key file .*: No such file"),
        ("", 0o600, "holds no keys"),
        ("not a key\n", 0o600, "holds no keys"),
        ("x", 0o640, "others may read the key file .*: chmod 600"),
    ],
)
def test_a_file_that_cannot_be_one_of_keys_is_refused(
    tmp_path: Path, text: str | None, mode: int, why: str
) -> None:
    path = tmp_path / "keys"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    with pytest.raises(UsageError, match=why):
        use_keys(path)


def test_a_key_file_is_its_owners_alone(keys: Path) -> None:
    assert keys.stat().st_mode & 0o777 == 0o600
