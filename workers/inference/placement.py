"""Which replica has which stream: all who know the same streams and replicas find the same."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

# So far above the mean the fullest replica may be. Less would make more streams move when one comes or goes.
_UNEVEN = 1.15

_Hashes = NDArray[np.uint64]


class Placement:
    """Places streams on replicas by rendezvous hashing with bounded loads; for several threads.

    Each stream likes the replicas in an order of its own (Thaler and Ravishankar 1998). In the order of their
    hashes the streams get the first that is not full (the bound is that of Mirrokni, Thorup and Zadimoghaddam
    2016). So a replica that comes takes its part from all the others, the streams of one that goes are shared
    out, and of the rest few move: those that a full replica had no room for before or has none for now.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: frozenset[str] = frozenset()
        self._replicas: tuple[str, ...] = ()
        self._hashes: _Hashes = _hashes(())
        # Of each stream its hash, and the number of the replica that it likes best.
        self._liked: dict[str, tuple[int, int]] = {}
        # Of those whose best was full once, all replicas in their order.
        self._orders: dict[str, list[int]] = {}
        self._placed: Mapping[str, str] = {}

    def of(self, stream: str) -> str | None:
        """Name of the replica that has a stream; None where it, or any replica, is not known."""
        return self._placed.get(stream)

    def use_streams(self, streams: Iterable[str]) -> None:
        """These are all streams whose frames are to be run."""
        with self._lock:
            known = frozenset(streams)
            if known != self._streams:
                self._streams = known
                self._place()

    def use_replicas(self, names: Collection[str]) -> None:
        """These are all replicas."""
        with self._lock:
            known = tuple(sorted(names))
            if known != self._replicas:
                self._replicas, self._hashes = known, _hashes(known)
                self._liked.clear()
                self._orders.clear()
                self._place()

    def _place(self) -> None:
        if not self._replicas:
            self._placed = {}
            return
        self._forget()
        self._like([stream for stream in self._streams if stream not in self._liked])
        room = [most_streams(len(self._streams), len(self._replicas))] * len(self._replicas)
        placed = {}
        for stream, (_, best) in sorted(self._liked.items(), key=lambda one: (one[1][0], one[0])):
            replica = best
            if not room[replica]:
                replica = next(other for other in self._order(stream) if room[other])
            room[replica] -= 1
            placed[stream] = self._replicas[replica]
        self._placed = placed

    def _forget(self) -> None:
        """Drops what is kept of streams that are no more."""
        for stream in self._liked.keys() - self._streams:
            del self._liked[stream]
            self._orders.pop(stream, None)

    def _like(self, streams: list[str]) -> None:
        if streams:
            hashes = _hashes(streams)
            best = _scores(hashes, self._hashes).argmax(axis=1)
            self._liked |= zip(streams, zip(hashes.tolist(), best.tolist(), strict=True), strict=True)

    def _order(self, stream: str) -> list[int]:
        if stream not in self._orders:
            scores = _scores(_hashes([stream]), self._hashes)[0]
            self._orders[stream] = np.argsort(scores)[::-1].tolist()
        return self._orders[stream]


def most_streams(streams: int, replicas: int) -> int:
    """How many of so many streams one of so many replicas gets at most."""
    mean = streams / replicas
    return max(math.ceil(mean), math.floor(_UNEVEN * mean))


def _hashes(names: Collection[str]) -> _Hashes:
    """64 bits of each name, the same in every process."""
    digests = b"".join(blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def _scores(streams: _Hashes, replicas: _Hashes) -> _Hashes:
    """How much each stream (S) likes each replica (R), as (S, R): SplitMix64's last steps mix the two."""
    mixed = streams[:, None] ^ replicas[None, :]
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


# Of this process. Serve builds the routers that learn of replicas, where nothing of ours can be handed in.
PLACEMENT = Placement()
