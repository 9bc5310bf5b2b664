"""Whether Redis has room for one stream more, before it is added: one that is full helps nobody."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.tokenizers.registry import kind_of
from vocab.connection import RedisClient
from vocab.redis_memory import memory
from vocab.window import WindowOptions
from workers.contract.stream_spec import StreamSpec
from workers.gateway.problems import Problem
from workers.settings.schema import ServiceSettings

# What a result and its late energy take in a Redis stream, on the generous side: 629 and 133 bytes were
# measured (Valkey's MEMORY USAGE of 10,000 of each). Answers with many regions or an embedding take more.
_RESULT_BYTES = 900
# State, events, a preview, a bill.
_ELSE_BYTES = 500_000
# Of a stream with rules: an event with its boxes, and a picture of one (47 kB was measured of 448 pixels).
_EVENT_BYTES, _SNAPSHOT_BYTES = 1_200, 80_000
# The newest two sets of words of patches of 16, see `vocab.redis_store`.
_WORDS_BYTES = 3_300_000
# Kept free: for what Redis needs itself, and for what else it is used for.
_FREE = 0.1


def admit(
    client: RedisClient, specs: Iterable[StreamSpec], asked: StreamSpec, settings: ServiceSettings
) -> None:
    """Checks that a stream can be full beside all others; arguments and errors as `no_room` has them.

    Raises:
        Problem: there is no room, 507.
    """
    why = no_room(client, specs, asked, settings)
    if why is not None:
        raise Problem(507, why, "redis-full")


def no_room(
    client: RedisClient, specs: Iterable[StreamSpec], asked: StreamSpec, settings: ServiceSettings
) -> str | None:
    """Why a stream cannot be full beside all others, each with as many results as are kept; None if it can.

    Args:
        client: of Redis.
        specs: of the streams there are.
        asked: the one to add.
        settings: of the service.

    Raises:
        StoreUnavailable: Redis does not answer.
    """
    now = memory(client)
    if now.limit is None:
        return None
    present = list(specs)
    usable = int(now.limit * (1 - _FREE))
    wanted = budget([*present, asked], settings)
    if wanted <= usable and now.used <= usable:
        return None
    return (
        f"Redis has no room for another stream: {len(present)} are there, with this one they may come to "
        f"take {_mb(wanted)}, {_mb(now.used)} are taken now, and {_mb(usable)} of its maxmemory of "
        f"{_mb(now.limit)} are for streams; raise its maxmemory, lower kept_results, or remove a stream"
    )


def budget(specs: Iterable[StreamSpec], settings: ServiceSettings) -> int:
    """Bytes that such streams take in Redis once each keeps what it may."""
    streams = list(specs)
    scopes = {spec.word_scope for spec in streams if _wants_words(spec)}
    each = settings.kept_results * _RESULT_BYTES + _ELSE_BYTES
    events = settings.kept_events * _EVENT_BYTES + settings.kept_snapshots * _SNAPSHOT_BYTES
    asked = sum((spec.history or 0) + bool(spec.rules) * events for spec in streams)
    return len(streams) * each + asked + len(scopes) * (WindowOptions().max_bytes + _WORDS_BYTES)


def _wants_words(spec: StreamSpec) -> bool:
    # What a stream without one gets wants none.
    return spec.tokenizer is not None and kind_of(spec.tokenizer).wants_words(spec.options)


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
