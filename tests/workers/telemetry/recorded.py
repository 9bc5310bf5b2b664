"""Notes what goes to Ray's own recorder, the outermost edge; without a cluster nobody exports it."""

from __future__ import annotations

import pytest
from ray.util import metrics as ray_metrics

Told = list[tuple[str, float, dict[str, str]]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """(name, value, labels) of all that is told, in order."""
    noted: Told = []
    record = ray_metrics.Metric._record

    def noting(metric: ray_metrics.Metric, value: float, tags: dict[str, str] | None = None) -> None:
        noted.append((metric.info["name"], value, tags or {}))
        record(metric, value, tags)

    monkeypatch.setattr(ray_metrics.Metric, "_record", noting)
    return noted
