"""The Redis keys of the service."""

from __future__ import annotations

from dataclasses import dataclass

# Hash of stream id to its spec.
STREAMS = "vwt:streams"
# Set once per data set; when it is gone, Redis has lost its data.
EPOCH = "vwt:epoch"
# Capped stream of the ids of streams that changed, see `changes`.
CHANGES = "vwt:changes"
# Sorted set of the Ingest replicas that are alive, by when they last said so.
REPLICAS = "vwt:{ingest}:seen"
# Hash of the same: streams that each reads, and of its part those that wait to be read.
LOADS = "vwt:{ingest}:loads"
# The same of the replicas of VocabularyKeeper.
KEEPERS = ("vwt:{keeper}:seen", "vwt:{keeper}:loads")
# How many streams an Ingest replica with nothing to take would like from those that have too many; expires.
ROOM = "vwt:room"


@dataclass(frozen=True, slots=True)
class StreamKeys:
    """Names of a stream's keys; the braces are a hash tag, so a Redis Cluster keeps them together.

    Attributes:
        stream: id of the stream, as `spec.StreamSpec` checks it.
    """

    stream: str

    def _key(self, name: str) -> str:
        return f"vwt:{{{self.stream}}}:{name}"

    @property
    def lease(self) -> str:
        """Who reads the stream, while it lasts."""
        return self._key("lease")

    @property
    def last(self) -> str:
        """Hash whose field `token` is the last fence given out."""
        return self._key("lease:last")

    @property
    def state(self) -> str:
        """Hash: what the stream is doing, see `status.StreamStatus`."""
        return self._key("state")

    @property
    def results(self) -> str:
        """Capped stream of results; the entry of frame N has the id (N+1)-0."""
        return self._key("results")

    @property
    def energy(self) -> str:
        """Capped stream of energies that settled after their result was written."""
        return self._key("energy")

    @property
    def events(self) -> str:
        """Capped stream of state changes."""
        return self._key("events")

    @property
    def preview(self) -> str:
        """Hash of the newest preview picture; expires."""
        return self._key("preview")

    @property
    def watched(self) -> str:
        """Exists while somebody looks at the preview."""
        return self._key("watched")

    @property
    def bill(self) -> str:
        """Hash of a day that is over to what its frames took, see `bill`; of the latest days."""
        return self._key("bill")

    @property
    def happened(self) -> str:
        """Capped stream of what rules made of results, see `event_log`."""
        return self._key("happened")

    @property
    def looked(self) -> str:
        """Hash: how far the results were looked at for it."""
        return self._key("looked")

    @property
    def snapshots(self) -> str:
        """Hash of event to its picture, of the newest events."""
        return self._key("snapshots")

    @property
    def snapshot_ids(self) -> str:
        """List of those events, oldest first."""
        return self._key("snapshots:ids")

    @property
    def history(self) -> str:
        """Capped stream of what was seen when something changed, see `history_log`."""
        return self._key("history")

    @property
    def pictures(self) -> str:
        """Capped stream of small pictures of the same moments."""
        return self._key("pictures")

    @property
    def zones(self) -> str:
        """Hash of zone to what was drawn and clicked of it, see `zone_store`."""
        return self._key("zones")

    @property
    def classes(self) -> str:
        """Hash of name to the boxes that were drawn of it, see `class_store`."""
        return self._key("classes")

    @property
    def sinks(self) -> str:
        """Hash of sink name to how far it has come."""
        return self._key("sinks")
