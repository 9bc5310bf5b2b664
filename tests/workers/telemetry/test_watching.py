"""The rules for Prometheus and the dashboard of Grafana, against what is exposed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.guard.audits import Audits
from pipeline.guard.compare import Compared
from pipeline.guard.stream_fidelity import GuardStatus
from pipeline.results import Energy
from tests.pipeline.outputs.examples import a_result
from tests.workers.telemetry.exposition import samples_of
from vocab.redis_memory import Memory
from workers.contract.sink_offsets import SinkOffset
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_status import StreamStatus
from workers.gateway.metrics import ServiceCollector
from workers.gateway.sums import Seen
from workers.run.metrics import RunMetrics
from workers.telemetry.metrics import CELLS, REPLICA, RUN, SERVICE, Described

_DEPLOY = Path(__file__).parents[3] / "deploy"
_RULES = _DEPLOY / "prometheus" / "rules.yml"
_DASHBOARD = _DEPLOY / "grafana" / "vwt.json"
_FOUND = Audits()
_FOUND.add(Compared(np.ones(2, np.float32), np.ones(2, np.float32), None, 1), 1)
_STATUS = StreamStatus(
    tokens_full=256,
    state="running",
    vocab_version=1,
    joules=1.0,
    energy_method="rapl",
    latency_ms=1.0,
    results_at=1.0,
    fidelity=_FOUND.fidelity().to_dict(),
    guard=GuardStatus(0.98, "cosine", "holding", "r", 8).to_dict(),
    saving={of: {"low": 0.5, "mean": 0.6, "high": 0.7} for of in ("operations", "time", "joules")},
)
_ENERGY = Energy(1.0, 0.5, "rapl", settled=True)


def promtool(*arguments: str | Path) -> None:
    """Runs promtool, which must be content."""
    if shutil.which("promtool") is None:
        pytest.skip("no promtool: apt-get install prometheus")
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def expressions_of(panels: list[dict[str, Any]]) -> Iterator[str]:
    for panel in panels:
        yield from (target["expr"] for target in panel.get("targets", []))
        yield from expressions_of(panel.get("panels", []))


@pytest.fixture(scope="module")
def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(_RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_DASHBOARD.read_text())
    return found


@pytest.fixture(scope="module")
def drawn(dashboard: dict[str, Any]) -> list[str]:
    """Every expression of the dashboard, those of its variables too."""
    variables = [item["definition"] for item in dashboard["templating"]["list"] if "definition" in item]
    return [*expressions_of(dashboard["panels"]), *variables]


@pytest.fixture(scope="module")
def exposed() -> set[str]:
    """Names of samples as Prometheus gets them from a stream of which everything is known."""
    spec = StreamSpec(id="gate", source="sample:bikes")
    seen = [Seen(spec, _STATUS, {"disk": SinkOffset()})]
    service = samples_of(ServiceCollector(seen, redis=Memory(used=1, limit=2)))
    metrics = RunMetrics("gate")
    metrics.add(a_result(energy=_ENERGY, vocab_version=1))
    run = samples_of(metrics.registry)
    names = {sample.name for found in (service, run) for samples in found.values() for sample in samples}
    names |= {metric.name for metric in CELLS}
    return names | {f"ray_{name}" for metric in REPLICA for name in names_of(metric)}


def names_of(metric: Described) -> list[str]:
    """Names of a metric's samples."""
    if metric.kind != "histogram":
        return [metric.name]
    return [f"{metric.name}_{part}" for part in ("bucket", "sum", "count")]


def metrics_in(expression: str) -> set[str]:
    return {name for name in re.findall(r"[A-Za-z_:][\w:]*", expression) if "vwt_" in name}


def test_prometheus_takes_the_configuration_and_its_rules() -> None:
    promtool("check", "config", _DEPLOY / "prometheus" / "prometheus.yml")


def test_alerts_come_when_they_should_and_only_then() -> None:
    promtool("test", "rules", _RULES.with_name("rules_test.yml"))


def test_prometheus_takes_every_expression_of_the_dashboard(
    dashboard: dict[str, Any], tmp_path: Path
) -> None:
    expressions = expressions_of(dashboard["panels"])
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(expressions)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "panels.yml")


def test_rules_rely_only_on_what_is_exposed_or_recorded(
    rules: list[dict[str, Any]], exposed: set[str]
) -> None:
    recorded = {rule["record"] for rule in rules if "record" in rule}
    for rule in rules:
        assert metrics_in(rule["expr"]) <= exposed | recorded, rule


def test_the_dashboard_draws_only_what_is_exposed_or_recorded(
    drawn: list[str], rules: list[dict[str, Any]], exposed: set[str]
) -> None:
    recorded = {rule["record"] for rule in rules if "record" in rule}
    for expression in drawn:
        assert metrics_in(expression), expression
        assert metrics_in(expression) <= exposed | recorded, expression


def test_no_metric_is_left_out_of_the_dashboard(drawn: list[str], rules: list[dict[str, Any]]) -> None:
    used = set().union(*map(metrics_in, drawn))
    used |= set().union(*(metrics_in(rule["expr"]) for rule in rules if rule.get("record") in used))
    for metric in {*SERVICE, *CELLS, *RUN}:
        assert used & {metric.name, *names_of(metric)}, metric.name
    for metric in REPLICA:
        assert used & {f"ray_{name}" for name in names_of(metric)}, metric.name


def test_every_metric_is_named_once_and_by_the_conventions() -> None:
    metrics = {*SERVICE, *CELLS, *RUN, *REPLICA}
    assert len({metric.name for metric in metrics}) == len(metrics)
    for metric in metrics:
        assert re.fullmatch(r"vwt_[a-z]+(_[a-z]+)*", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.help.endswith("."), metric.name
        assert not {"source", "url", "to"} & set(metric.labels)


def test_every_panel_has_a_name_and_a_number_of_its_own(dashboard: dict[str, Any]) -> None:
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["title"] for panel in panels)
