"""What every sink can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

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
