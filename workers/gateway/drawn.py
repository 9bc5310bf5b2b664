"""What zones and names that are drawn while watching have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pipeline.errors import UsageError
from vocab.connection import RedisClient
from workers.contract.drawn_store import DrawnStore
from workers.contract.messages import Example
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore
from workers.gateway.connections import Connections
from workers.gateway.problems import Problem

T = TypeVar("T")

# Each runs a frame in full.
AT_ONCE = 4


async def predicting(connections: Connections, spec: StreamSpec) -> Mapping[str, Any] | None:
    """Who predicts the frames of a stream, see `StreamStatus.inference`.

    Raises:
        Problem: it is paused.
    """
    if spec.paused:
        raise Problem(409, f"{spec.id} is paused, so that nothing is to be seen; resume it", "paused")
    status = await connections.call(lambda client: StreamStore(client).status(spec.id))
    return status.inference


def tell(
    client: RedisClient,
    spec: StreamSpec,
    drawn: DrawnStore[T],
    changes: Callable[[StreamSpec, Mapping[str, T]], dict[str, Any]],
) -> None:
    """Gives a stream what follows from what was drawn, so that its results have it.

    Args:
        client: of Redis.
        spec: of the stream.
        drawn: what was drawn for it.
        changes: settings of the stream as it is that differ, by it and what was drawn; may be called again.
    """
    store = StreamStore(client)
    while True:
        before = drawn.texts()
        differ = changes(store.get(spec.id), drawn.read(before))
        if differ:
            store.change(spec.id, differ)
        # Somebody else may have clicked meanwhile.
        if drawn.texts() == before:
            return


def check_alike(example: Example, others: Mapping[str, tuple[str | None, str | None]], remedy: str) -> None:
    """Refuses an example that another model saw, or another input of it, than what there is.

    Args:
        example: that is to be added.
        others: model and input by name of what there is.
        remedy: what to do, with {name}.
    """
    for name, (model, seen_as) in others.items():
        if (model, seen_as) != (example.model, example.seen_as):
            raise Problem(
                409,
                f"{name} was learned with {model} at {seen_as}, and the stream runs {example.model} at "
                f"{example.seen_as}: {remedy.format(name=name)}",
                "models-differ",
            )


def kept(make: Callable[[], T], kind: str) -> T:
    """What `make` gives; a UsageError of it is a conflict of that kind."""
    try:
        return make()
    except UsageError as error:
        raise Problem(409, str(error), kind) from None


def wrong(field: str, reason: str) -> Problem:
    """One field of the body that cannot be right."""
    return Problem(422, reason, "invalid", errors=[{"field": f"body.{field}", "reason": reason}])
