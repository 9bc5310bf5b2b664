"""Connections to Redis and Valkey, by URL; no call through one waits for long."""

from __future__ import annotations

import re
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from vocab.errors import VocabularyError
from vocab.redis_errors import redis_errors

RedisClient: TypeAlias = redis.Redis | RedisCluster

# Without an "@" behind "://": whoever takes credentials out of messages would cut them here.
_FORMS = (
    "redis://host[:port][/db], rediss://…, unix:///path[?db=0], redis+sentinel://host[:port],…/service[/db] "
    "or redis+cluster://host[:port],… (rediss+… for TLS; a login goes before the host, as user:password@)"
)
_TIMEOUT_S = 1.0
_OF_THE_POOL = ("max_connections",)
_PORTS = {"sentinel": 26379, "cluster": 6379}


def connect(url: str) -> RedisClient:
    """Opens a client and checks that the server answers.

    The forms are redis-py's own, `redis://[user:password@]host[:port][/db]`, the same with `rediss://` for
    TLS, and `unix:///path[?db=0]`, and two that name redis-py's other clients:
    `redis+sentinel://[user:password@]host[:port],host[:port]/service[/db]`, where the hosts are Sentinels
    and the login is that of the servers they watch, and
    `redis+cluster://[user:password@]host[:port],host[:port]`; both also as `rediss+…`. Special characters
    of a password are percent-encoded. Options of redis-py may follow as a query, such as
    `?ssl_ca_certs=/etc/ca.pem` or `?socket_timeout=3`.

    Connecting and every answer may take one second each (a Cluster or Sentinel is asked up to four times);
    a broken connection is made anew once.

    Raises:
        VocabularyError: it is no such URL.
        StoreUnavailable: the server does not answer or refuses.
    """
    with redis_errors("use Redis", shown(url)):
        client = _client(url)
        client.ping()
    return client


def ping(client: RedisClient) -> None:
    """Checks that the server answers.

    Raises:
        StoreUnavailable: it does not.
    """
    with redis_errors("use Redis", server_name(client)):
        client.ping()


def server_name(client: RedisClient) -> str:
    """Where a client is connected to, without credentials."""
    if isinstance(client, RedisCluster):
        nodes = sorted(client.nodes_manager.startup_nodes)
        return f"the Redis Cluster at {','.join(nodes)}"
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        return f"the service {pool.service_name} of Redis Sentinel"
    at = pool.connection_kwargs
    return f"Redis at {at['path']}" if "path" in at else f"Redis at {at['host']}:{at['port']}"


def shown(url: str) -> str:
    """A Redis URL without credentials and options; hides too much when in doubt."""
    return re.sub(r"(?<=://).*@", "", url, flags=re.DOTALL).partition("?")[0]


def _client(url: str) -> RedisClient:
    scheme, _, kind = url.partition("://")[0].partition("+")
    if scheme not in ("redis", "rediss", "unix") or kind not in ("", *_PORTS) or (scheme == "unix" and kind):
        raise VocabularyError(f"no Redis URL: {shown(url)}; the forms are {_FORMS}")
    try:
        return _cluster_or_sentinel(url, scheme, kind) if kind else _single(url)
    except ValueError:
        # Not chained: what urllib says of a password that is not percent-encoded quotes a part of it.
        raise VocabularyError(
            f"cannot read the Redis URL {shown(url)}; the forms are {_FORMS}, "
            "special characters of a password percent-encoded"
        ) from None


def _single(url: str) -> redis.Redis:
    parts = urlsplit(url)
    if parts.scheme != "unix":
        _check_rest(parts.path, r"/?|/\d+", parts.query, parts.fragment)
        _ = parts.port  # a bad one raises
    elif not parts.path:
        raise ValueError
    known = parse_url(url)
    _check_options(known, url)
    # Who finds all connections in use waits for one, as it would for the server.
    options = {"timeout": _TIMEOUT_S, **_options(known), "retry": _retry()}
    return redis.Redis.from_pool(redis.BlockingConnectionPool(**options))


def _cluster_or_sentinel(url: str, scheme: str, kind: str) -> RedisClient:
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    addresses = [(node.hostname, node.port or _PORTS[kind]) for node in map(_node, hosts.split(","))]
    known = parse_url(f"{scheme}://{login}{at}host/?{parts.query}")
    _check_options(known, url)
    for key in ("host", "port", "connection_class"):
        known.pop(key, None)
    options = {**_options(known), "ssl": scheme == "rediss"}
    if kind == "cluster":
        _check_rest(parts.path, r"/?(0)?", parts.query, parts.fragment)
        nodes = [ClusterNode(host, port) for host, port in addresses]
        return RedisCluster(startup_nodes=nodes, retry=_retry(), **options)
    _check_rest(parts.path, r"/[^/]+(/\d*)?", parts.query, parts.fragment)
    service, _, db = parts.path[1:].partition("/")
    asked = {"socket_timeout": _TIMEOUT_S, "socket_connect_timeout": _TIMEOUT_S, "retry": _retry()}
    if scheme == "rediss":
        asked |= {key: value for key, value in options.items() if key.startswith("ssl")}
    sentinel = Sentinel(addresses, sentinel_kwargs=asked)
    client: redis.Redis = sentinel.master_for(unquote(service), db=int(db or 0), retry=_retry(), **options)
    return client


def _node(text: str) -> Any:
    node = urlsplit(f"//{text}")
    if not node.hostname or node.path:
        raise ValueError
    return node


def _check_rest(path: str, pattern: str, query: str, fragment: str) -> None:
    # An "@" behind the host is a password that cut the URL short: we would talk to a host it names.
    if not re.fullmatch(pattern, path) or "@" in path + query + fragment or fragment:
        raise ValueError


def _check_options(known: dict[str, Any], url: str) -> None:
    # redis-py finds out when it connects, or, to a Cluster, never.
    make = known.get("connection_class", redis.Connection)
    try:
        make(**{key: value for key, value in known.items() if key not in ("connection_class", *_OF_THE_POOL)})
    except TypeError as error:
        option = str(error).rpartition("argument ")[2]
        raise VocabularyError(
            f"the Redis URL {shown(url)} has an option that redis-py does not know: {option}"
        ) from None


def _options(known: dict[str, Any]) -> dict[str, Any]:
    timeouts = {"socket_timeout": _TIMEOUT_S, "socket_connect_timeout": _TIMEOUT_S}
    return {**timeouts, **known, "decode_responses": False}


def _retry() -> Retry:
    # A connection that broke while idle is made anew at once. A timeout is not tried again: it took its time.
    return Retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,))
