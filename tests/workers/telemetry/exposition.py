"""Metrics as Prometheus reads them."""

from __future__ import annotations

from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

Samples = dict[str, list[Sample]]


def samples_of(collector: Collector) -> Samples:
    """What a collector exposes; see `parsed`."""
    return parsed(generate_latest(collector).decode())


def parsed(text: str) -> Samples:
    """Samples by name; metrics without any are there with an empty list."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        found[family.name + ("_total" if family.type == "counter" else "")] = []
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


def value(samples: Samples, name: str, **labels: str) -> float:
    """The one sample of a metric with exactly these labels."""
    (found,) = [sample.value for sample in samples[name] if sample.labels == labels]
    return found
