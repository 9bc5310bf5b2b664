"""Which scopes want words, and which of them a replica looks after."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from pipeline.tokenizers.registry import TOKENIZERS
from vocab.connection import RedisClient
from workers.contract.changes import Changes
from workers.contract.keys import KEEPERS
from workers.contract.peers import Peers
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_status import StreamStatus
from workers.contract.stream_store import StreamStore

_USED_IN = ("starting", "running", "reconnecting")
# All specs are read anew after so long, give or take a quarter, in case that an announcement was missed.
_LIST_S = 60.0
# Who begins or ends to run says so nowhere; words can wait this long for it.
_STATES_S = 5.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a scope's words are for: the settings of its oldest stream."""

    scope: str
    model: str
    words: int
    near: float


class Scopes:
    """The scopes of one replica; a look costs what has changed, and the states of its own streams.

    Each scope belongs to one of the replicas that are alive, by its name: when one comes or goes only those
    scopes move that it gets or had.

    Args:
        client: of Redis.
        name: of this replica.
        ttl_s: seconds after which a replica that says nothing is taken for dead.
    """

    def __init__(self, client: RedisClient, name: str, ttl_s: float) -> None:
        self._store = StreamStore(client)
        self._changes = Changes(client)
        self._peers = Peers(client, name, ttl_s, KEEPERS)
        self._name = name
        self._names: Sequence[str] = ()
        self._specs: dict[str, StreamSpec] = {}
        self._wanted: set[Wanted] = set()
        # What is still to be done, as a look may fail half way.
        self._unknown, self._heard = True, set[str]()
        self._list_at = self._states_at = 0.0

    def look(self, kept: int) -> set[Wanted]:
        """The scopes of this replica whose words running streams need.

        Args:
            kept: how many it has now.

        Raises:
            StoreUnavailable: Redis cannot say now.
        """
        now = time.monotonic()
        names = self._peers.look(kept).names
        heard = self._changes.read()
        self._unknown |= heard is None
        self._heard |= heard or set()
        changed = self._unknown or bool(self._heard) or names != self._names
        if self._unknown or now >= self._list_at:
            self._specs, self._unknown = self._store.all(), False
            self._list_at = now + _LIST_S * random.uniform(0.75, 1.25)
        elif self._heard:
            found = self._store.some(sorted(self._heard))
            self._specs = {key: spec for key, spec in self._specs.items() if key not in self._heard} | found
        self._heard.clear()
        self._names = names
        if changed or now >= self._states_at:
            self._states_at = 0.0
            ours = [spec for spec in self._specs.values() if _may_want(spec) and self._is_ours(spec)]
            self._wanted = wanted_scopes(ours, self._store.statuses([spec.id for spec in ours]))
            self._states_at = now + _STATES_S
        return self._wanted

    def leave(self) -> None:
        """Lets the other replicas take over.

        Raises:
            StoreUnavailable: Redis cannot do it now.
        """
        self._peers.leave()

    def _is_ours(self, spec: StreamSpec) -> bool:
        return owner(spec.word_scope, self._names) == self._name


def owner(scope: str, names: Iterable[str]) -> str:
    """Whose a scope is, of replicas of such names: that with the highest hash of both (rendezvous)."""
    # Not a CRC, whose order for all scopes alike goes by the bits in which the names differ.
    return max(names, key=lambda name: (blake2b(f"{scope} {name}".encode(), digest_size=8).digest(), name))


def wanted_scopes(specs: Sequence[StreamSpec], statuses: Sequence[StreamStatus]) -> set[Wanted]:
    """The scopes whose words running streams need.

    Args:
        specs: of streams.
        statuses: of the same.
    """
    used = [
        (spec, kind)
        for spec, status in zip(specs, statuses, strict=True)
        if not spec.paused
        and status.state in _USED_IN
        and (kind := TOKENIZERS.get(spec.tokenizer or status.tokenizer or "")) is not None
        and kind.wants_words(spec.options)
    ]
    oldest: dict[str, Wanted] = {}
    for spec, kind in sorted(used, key=lambda pair: (pair[0].created_at, pair[0].id)):
        wanted = Wanted(spec.word_scope, spec.model, spec.words, kind.near_of(spec.options))
        oldest.setdefault(spec.word_scope, wanted)
    return set(oldest.values())


def _may_want(spec: StreamSpec) -> bool:
    """Whether its state matters: one of a tokenizer without words wants none, whatever it does."""
    if spec.paused:
        return False
    kind = TOKENIZERS.get(spec.tokenizer or "")
    return kind is None or kind.wants_words(spec.options)
