"""What every sink can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from pipeline.errors import VwtError


class SinkError(VwtError):
    """A sink that did not take results now; they are sent again."""


class Sink(Protocol):
    """Takes results; used by one thread."""

    def write(self, results: Sequence[bytes]) -> None:
        """Writes results, each one line of JSON, in order; returns once they are safe there.

        Raises:
            SinkError: that cannot be said of all of them; some may have arrived.
        """

    def close(self) -> None:
        """Lets go of connections; what was not acknowledged is given up."""


@runtime_checkable
class Announcing(Protocol):
    """A sink that tells others what is to come."""

    def announce(self, rules: Sequence[str]) -> None:
        """Tells the names of the stream's rules, before the first results.

        Raises:
            SinkError: it cannot be done now.
        """
