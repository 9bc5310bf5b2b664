"""What `vwt run --metrics-port` serves."""

from __future__ import annotations

import socket
import subprocess

import httpx
import pytest

from pipeline.energy import Ledger, NoMeter
from pipeline.errors import UsageError
from pipeline.frame import FrameTimes
from pipeline.results import Energy
from tests.e2e.command import NULL, PATIENCE_S, VWT
from tests.pipeline.outputs.examples import a_result, clip_frames
from tests.workers.telemetry.exposition import parsed, samples_of, value
from workers.run.delivery import Delivery
from workers.run.metrics import RunMetrics, served
from workers.telemetry.metrics import RUN

_METERED = Energy(joules=0.5, above_idle_joules=0.25, method="rapl", settled=True)


def test_results_add_up_in_base_units() -> None:
    metrics = RunMetrics("gate")
    for number in range(3):
        metrics.add(
            a_result(
                number,
                energy=_METERED,
                tokens_full=256,
                tokens_kept=64,
                vocab_version=number,
                times=FrameTimes(pts_s=0.0, decode_ms=2.0),
                queue_ms=0.5,
                infer_ms=30.0,
                total_ms=40.0,
                dropped={"late": 2, "gap": 1},
            )
        )
    found = samples_of(metrics.registry)
    assert value(found, "vwt_frames_total", stream="gate") == 3
    assert value(found, "vwt_tokens_full_total", stream="gate") == 768
    assert value(found, "vwt_tokens_kept_total", stream="gate") == 192
    assert value(found, "vwt_joules_total", stream="gate", method="rapl") == 1.5
    assert value(found, "vwt_joules_above_idle_total", stream="gate", method="rapl") == 0.75
    assert value(found, "vwt_vocabulary_version", stream="gate") == 2
    assert value(found, "vwt_frames_dropped_total", stream="gate", reason="late") == 6
    assert value(found, "vwt_frames_dropped_total", stream="gate", reason="corrupt") == 0
    assert value(found, "vwt_stream_gaps_total", stream="gate") == 3
    for stage, seconds in {"decode": 0.006, "queue": 0.0015, "infer": 0.09, "total": 0.12}.items():
        assert value(found, "vwt_stage_seconds_count", stream="gate", stage=stage) == 3
        assert value(found, "vwt_stage_seconds_sum", stream="gate", stage=stage) == pytest.approx(seconds)
    assert value(found, "vwt_stage_seconds_bucket", stream="gate", stage="infer", le="0.025") == 0
    assert value(found, "vwt_stage_seconds_bucket", stream="gate", stage="infer", le="0.05") == 3


def test_what_is_unknown_has_no_sample() -> None:
    metrics = RunMetrics("gate")
    assert samples_of(metrics.registry)["vwt_result_age_seconds"] == []
    metrics.add(a_result(0, energy=Energy(reason="no meter"), vocab_version=None, tokens_full=None))
    found = samples_of(metrics.registry)
    assert value(found, "vwt_frames_total", stream="gate") == 1
    assert value(found, "vwt_tokens_full_total", stream="gate") == 0
    for name in ("vwt_joules_total", "vwt_joules_above_idle_total", "vwt_vocabulary_version"):
        assert found[name] == [], name
    assert value(found, "vwt_result_age_seconds", stream="gate") >= 0


def test_a_frame_below_idle_power_takes_no_counter_back() -> None:
    metrics = RunMetrics("gate")
    metrics.add(a_result(0, energy=_METERED))
    metrics.add(a_result(1, energy=Energy(joules=0.1, above_idle_joules=-0.01, method="rapl", settled=True)))
    found = samples_of(metrics.registry)
    assert value(found, "vwt_joules_above_idle_total", stream="gate", method="rapl") == 0.25
    assert value(found, "vwt_joules_total", stream="gate", method="rapl") == 0.6


def test_every_delivered_result_is_counted_once() -> None:
    metrics, ledger = RunMetrics("gate"), Ledger(NoMeter())
    delivery = Delivery(ledger, None, None, None, metrics)
    pictures = clip_frames("carphone_pristine.mp4", [number / 25 for number in range(3)])
    delivery.add([a_result(number) for number in range(3)], pictures, [None] * 3)
    delivery.deliver()
    delivery.close()
    assert value(samples_of(metrics.registry), "vwt_frames_total", stream="gate") == 3


def test_every_metric_is_served_with_its_kind_and_explained_once() -> None:
    metrics = RunMetrics("gate")
    with served(metrics, "127.0.0.1", 0) as url:
        metrics.add(a_result(0, energy=_METERED))
        lines = httpx.get(url).text.splitlines()
    described = [line.split()[2] for line in lines if line.startswith("# HELP")]
    assert sorted(described) == sorted(metric.name for metric in RUN)
    kinds = dict(line.split()[2:] for line in lines if line.startswith("# TYPE"))
    assert kinds == {metric.name: metric.kind for metric in RUN}


def test_the_port_is_free_again_after_the_run() -> None:
    with served(RunMetrics("gate"), "127.0.0.1", 0) as url:
        port = httpx.URL(url).port
    assert port is not None
    with served(RunMetrics("gate"), "127.0.0.1", port) as again:
        assert httpx.get(again).status_code == 200


def test_ipv6_is_served_where_it_is_asked_for() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with served(RunMetrics("gate"), "::1", 0) as url:
        assert url.startswith("http://[::1]:")
        assert httpx.get(url).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "no.such.host.invalid"])
def test_a_place_that_cannot_be_bound_is_refused_by_its_options(host: str) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(UsageError, match="--metrics-port or --metrics-host") as refused,
        served(RunMetrics("gate"), host, taken.getsockname()[1]),
    ):
        pass
    assert "\n" not in str(refused.value)


def test_a_run_can_be_watched_while_it_goes_on() -> None:
    command = [VWT, "run", "sample:bikes", *NULL, "--name", "gate", "--out", "-", "--metrics-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = next(line.split()[-1] for line in process.stderr if line.startswith("metrics are at "))
        process.stdout.readline()
        # Results that nobody reads fill the pipe, so the run cannot have ended.
        found = parsed(httpx.get(url).text)
        assert process.poll() is None
        rest = process.communicate(timeout=PATIENCE_S)[0].splitlines()
    assert process.returncode == 0
    assert 1 <= value(found, "vwt_frames_total", stream="gate") <= 1 + len(rest)
    assert value(found, "vwt_joules_total", stream="gate", method="estimate") > 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
