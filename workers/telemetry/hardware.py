"""What a device takes, for an OpenTelemetry collector: `hw.energy` and `hw.power`.

Names, units and attributes are those of OpenTelemetry's semantic conventions for hardware (in development
there). They are of the whole device; what frames took of it has names of our own.
"""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from pipeline.energy import Ledger

# A collector that does not answer loses a figure; the next one makes up for it.
_EXPORT_S = 2.0


class HardwareMetrics:
    """Tells of one device, in a thread of its own.

    Args:
        endpoint: base URL of a collector that takes OTLP over HTTP.
        node: id of the Ray node that the device is in.
        ledger: that reads the device's counter.
    """

    def __init__(self, endpoint: str, node: str, ledger: Ledger) -> None:
        self._ledger = ledger
        device = ledger.meter
        assert device.hardware is not None, f"{device.method} counts no device"
        self._labels = {"hw.id": device.device_id or device.method, "hw.type": device.hardware}
        exporter = OTLPMetricExporter(f"{endpoint.rstrip('/')}/v1/metrics", timeout=_EXPORT_S)
        # How often: OTEL_METRIC_EXPORT_INTERVAL, as everywhere.
        reader = PeriodicExportingMetricReader(exporter)
        resource = Resource.create({"service.name": "vwt-energy", "service.instance.id": node})
        self._provider = MeterProvider([reader], resource, shutdown_on_exit=False)
        meter = self._provider.get_meter("vwt")
        meter.create_observable_counter("hw.energy", [self._energy], "J", "Energy consumed by the component.")
        meter.create_observable_gauge(
            "hw.power", [self._power], "W", "Instantaneous power consumed by the component."
        )

    def close(self) -> None:
        """Tells the last figures and ends the thread."""
        self._provider.shutdown()

    def _energy(self, _: CallbackOptions) -> Iterable[Observation]:
        joules = self._ledger.totals().counter_joules
        return [] if joules is None else [Observation(joules, self._labels)]

    def _power(self, _: CallbackOptions) -> Iterable[Observation]:
        watts = self._ledger.watts()
        return [] if watts is None else [Observation(watts, self._labels)]
