"""Connections that wait for Redis without a thread each, made from one that `vocab.connection` opened."""

from __future__ import annotations

import inspect
from typing import Any, TypeAlias

import redis
from redis import asyncio as aredis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster as BlockingCluster
from redis.sentinel import SentinelConnectionPool

from vocab.connection import RedisClient

AsyncRedis: TypeAlias = aredis.Redis | RedisCluster

# Of the blocking client alone, or given anew below.
_NOT_CARRIED = {"retry", "connection_pool", "maint_notifications_config", "max_connections", "socket_timeout"}


def asynchronous(client: RedisClient, timeout_s: float, connections: int) -> AsyncRedis:
    """Opens an asyncio client to where a blocking one is connected, with the same login and TLS.

    Args:
        client: as `vocab.connection.connect` gives it, of any kind.
        timeout_s: how long an answer may take; longer than any call blocks.
        connections: most it may open, to each node of a Cluster.
    """
    common: dict[str, Any] = {"socket_timeout": timeout_s, "max_connections": connections, "retry": _retry()}
    if isinstance(client, BlockingCluster):
        manager = client.nodes_manager
        nodes = [ClusterNode(node.host, node.port) for node in manager.startup_nodes.values()]
        options = _carried(manager.connection_kwargs, RedisCluster)
        return RedisCluster(startup_nodes=nodes, **options, **common)
    pool = client.connection_pool
    known = pool.connection_kwargs
    options = _carried(known, aredis.Redis)
    if not isinstance(pool, SentinelConnectionPool):
        return aredis.Redis(unix_socket_path=known.get("path"), ssl=_tls(pool), **options, **common)
    manager = pool.sentinel_manager
    addresses = [_address(sentinel) for sentinel in manager.sentinels]
    asked = {**_carried(manager.sentinel_kwargs, aredis.Redis), "socket_timeout": 1.0, "retry": _retry()}
    asked["ssl"] = _tls(manager.sentinels[0].connection_pool)
    sentinel = Sentinel(addresses, sentinel_kwargs=asked)
    found: aredis.Redis = sentinel.master_for(pool.service_name, ssl=_tls(pool), **options, **common)
    return found


def _carried(known: dict[str, Any], kind: type) -> dict[str, Any]:
    taken = inspect.signature(kind).parameters.keys() - _NOT_CARRIED
    return {key: value for key, value in known.items() if key in taken}


def _tls(pool: Any) -> bool:
    return issubclass(pool.connection_class, redis.SSLConnection)


def _address(sentinel: Any) -> tuple[str, int]:
    known = sentinel.connection_pool.connection_kwargs
    return known["host"], known["port"]


def _retry() -> Retry:
    # As in vocab.connection: a connection that broke while idle is made anew at once.
    return Retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,))
