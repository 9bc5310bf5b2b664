"""Follows a stream through every restart of the service."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

from httpx_sse import ServerSentEvent

from pipeline.errors import ServiceError
from pipeline.sources.backoff import Backoff
from workers.client.api import ServiceClient

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 5.0


def follow(
    client: ServiceClient, stream: str, after: str | None, say: Callable[[str], None]
) -> Iterator[ServerSentEvent]:
    """The events of a stream, each once and none left out, until it is removed.

    When the service goes away after it was there, it is asked again and again for what comes after the last
    event.

    Args:
        client: of the service.
        stream: its id.
        after: id of an event, or a number of results, to resume after; None for what comes from now on.
        say: told once when the service goes away, and once when it is back.

    Raises:
        ServiceError: it cannot be reached at the start.
        UsageError: there is no such stream, or no such place in it.
    """
    backoff = Backoff(initial_s=_FIRST_PAUSE_S, cap_s=_LONGEST_PAUSE_S)
    was_there, away = False, False
    while True:
        try:
            with client.events(stream, after) as events:
                was_there = True
                if away:
                    say("the service is back")
                    away = False
                for event in events:
                    backoff.reset()
                    after = event.id
                    yield event
                    if event.event == "state" and json.loads(event.data).get("state") == "deleted":
                        return
            why = "the service closed the connection"
        except ServiceError as error:
            if not was_there:
                raise
            why = str(error).partition(";")[0]
        if not away:
            say(f"{why}; waiting until it is back, and nothing will be left out")
            away = True
        time.sleep(backoff.next_s())
