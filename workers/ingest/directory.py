"""All streams as one replica knows them: who changed is looked at when it is announced, the rest by turns."""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Sequence
from zlib import crc32

from vocab.connection import RedisClient, server_name
from vocab.redis_errors import redis_errors
from workers.contract.changes import Changes, announce
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore
from workers.ingest.unread import Unread, Waiting, look

# All specs are read anew after so long on average, by one of all replicas, in case that a change was not
# announced: it tells the others. If each did so, what that costs would go by streams times replicas.
_LIST_S = 60.0


class Directory:
    """What there is to read. A look costs what has changed, not what there is.

    Every replica hears what is announced, and sees to its own part of the streams: it looks at those after
    `part_s` seconds, and when a replica has come or gone, so that each stream is looked at by one.

    Args:
        client: of Redis.
        name: of this replica.
        part_s: seconds after which it looks at its part.

    Attributes:
        specs: of all streams, by id.
        unread: what is known of those that nobody reads.
        version: of the specs; another one whenever they may have changed.
    """

    def __init__(self, client: RedisClient, name: str, part_s: float) -> None:
        self.specs: dict[str, StreamSpec] = {}
        self.unread = Unread()
        self.version = 0
        self._client = client
        self._name = name
        self._part_s = part_s
        self._store = StreamStore(client)
        self._changes = Changes(client)
        self._replicas: tuple[str, ...] = (name,)
        self._place = 0
        self._list_at = self._part_at = 0.0
        # What is still to be done, as a look may fail half way: whether any stream may have changed, of which
        # that was heard, and which are to be looked at.
        self._unknown = True
        self._heard: set[str] = set()
        self._due: set[str] = set()
        # Which were passed on, and since when those waited.
        self._passed_on: dict[str, float] = {}

    def refresh(self, replicas: Sequence[str], everything: bool = False) -> None:
        """Learns which streams there are.

        Args:
            replicas: names of those that are alive, this one among them, in order.
            everything: whether to read all specs anew.

        Raises:
            StoreUnavailable: Redis cannot say now.
        """
        now = time.monotonic()
        if list(replicas) != list(self._replicas):
            self._replicas, self._part_at = tuple(replicas), now
            self._place = self._replicas.index(self._name)
            self._list_at = self._next_list()
        heard = self._changes.read()
        self._unknown |= heard is None or everything
        self._heard |= heard or set()
        if self._unknown or now >= self._list_at:
            specs = self._store.all()
            known = specs.keys() | self.specs.keys()
            changed = {one for one in known if self._unknown or specs.get(one) != self.specs.get(one)}
            if not self._unknown and changed - self._heard:
                self._announce(sorted(changed - self._heard))
            self._due |= changed
            self.specs, self._unknown = specs, False
            self.version += 1
            self._list_at = self._next_list()
        elif self._heard:
            found = self._store.some(sorted(self._heard))
            for stream in self._heard:
                self.specs.pop(stream, None)
            self.specs |= found
            self.version += 1
        self._due |= self._heard
        self._heard.clear()
        if now >= self._part_at:
            self._due |= {stream for stream in self.specs if self.is_ours(stream)}
            self._part_at = now + self._part_s

    def look(self, held: Collection[str]) -> None:
        """Looks at those streams that this replica does not hold, as far as they may have changed.

        Raises:
            StoreUnavailable: Redis cannot say now.
        """
        due = self._due | self.unread.unsettled()
        asked = [self.specs[stream] for stream in sorted(due) if stream in self.specs and stream not in held]
        found = look(self._client, self.unread, asked)
        self.unread = self.unread.replaced(due | set(held), found)
        self._due.clear()

    def pass_on(self, one: Waiting) -> None:
        """Tells the others, once and not at once, of a stream of its part that it has no room for.

        Raises:
            StoreUnavailable: Redis cannot do it now.
        """
        stream = one.spec.id
        # By then it is known how many a dead replica has left, and with that how many each has room for.
        if time.monotonic() - one.since < self._part_s / 5:
            return
        if not one.left or self._passed_on.get(stream) == one.since or not self.is_ours(stream):
            return
        self._announce([stream])
        unsettled = self.unread.unsettled()
        self._passed_on = {key: since for key, since in self._passed_on.items() if key in unsettled}
        self._passed_on[stream] = one.since

    def _announce(self, streams: Sequence[str]) -> None:
        with redis_errors("tell which streams to look at", server_name(self._client)):
            announce(self._client, streams)

    def _next_list(self) -> float:
        """When it is this replica's turn; whenever that is asked, so that they need not agree on turns."""
        return time.monotonic() + random.expovariate(1 / (_LIST_S * len(self._replicas)))

    def waiting(self) -> int:
        """How many streams of its part should be read, and are not."""
        return sum(self.is_ours(one.spec.id) for one in self.unread.waiting)

    def is_ours(self, stream: str) -> bool:
        """Whether this replica sees to a stream."""
        return crc32(stream.encode()) % len(self._replicas) == self._place
