"""Metrics of a VocabularyKeeper replica, through Ray; they come out at the metrics port of its node."""

from __future__ import annotations

from ray.util.metrics import Counter, Gauge

from workers.telemetry.metrics import KEEPER_FAILED, LEARN, MATCHED, PUBLISHED, histogram

# Ray keeps a gauge of every scope it was ever told of.
_MOST_SCOPES = 64


class KeeperMetrics:
    """What looks at the windows tell; for one thread."""

    def __init__(self) -> None:
        self._learn_s = histogram(LEARN)
        self._published = Counter(PUBLISHED.name, PUBLISHED.help)
        self._failed = Counter(KEEPER_FAILED.name, KEEPER_FAILED.help)
        self._matched = Gauge(MATCHED.name, MATCHED.help, MATCHED.labels)
        self._scopes: set[str] = set()

    def learned(self, seconds: float) -> None:
        """Words were learned, for so long."""
        self._learn_s.observe(seconds)

    def published(self) -> None:
        """A version of some scope's words was published."""
        self._published.inc()

    def failed(self) -> None:
        """A look at a scope failed."""
        self._failed.inc()

    def matched(self, scope: str, share: float) -> None:
        """So large a share of a scope's window is near a word; of the first 64 scopes."""
        if len(self._scopes) < _MOST_SCOPES:
            self._scopes.add(scope)
        if scope in self._scopes:
            self._matched.set(share, tags={"scope": scope})
