"""What the cells tell of all their streams, as Prometheus reads it of the directory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import httpx
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from workers.telemetry.metrics import CELL_UP, SERVICE

# Single streams are told by their cells: a directory has too many of them for one scrape.
_TOLD = {metric.name: metric for metric in SERVICE if "stream" not in metric.labels}


def of_cell(answer: httpx.Response) -> list[Metric]:
    """What a cell says of all its streams together.

    Raises:
        ValueError: that are no metrics.
    """
    found = [one for one in text_string_to_metric_families(answer.text) if one.name in _TOLD]
    if not found:
        raise ValueError("no metrics of vwt")
    return found


class CellsCollector(Collector):
    """One look at all cells: the sums of each, with its name.

    Args:
        answers: by name of the cell, what `of_cell` found; None for one that does not answer.
    """

    def __init__(self, answers: Mapping[str, list[Metric] | None]) -> None:
        self._answers = answers

    def collect(self) -> Iterator[Metric]:
        """`CELL_UP`, and what cells say together: gauges, all of them."""
        up = GaugeMetricFamily(CELL_UP.name, CELL_UP.help, labels=CELL_UP.labels)
        families = {
            name: GaugeMetricFamily(name, metric.help, labels=("cell", *metric.labels))
            for name, metric in _TOLD.items()
        }
        for cell, found in self._answers.items():
            up.add_metric([cell], found is not None)
            for family in found or ():
                labels = _TOLD[family.name].labels
                for sample in family.samples:
                    told = [sample.labels.get(label, "") for label in labels]
                    families[family.name].add_metric([cell, *told], sample.value)
        yield up
        yield from families.values()
