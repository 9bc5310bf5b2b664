"""Opens traces where the settings ask for them; without, nothing of OpenTelemetry is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workers.settings.schema import TraceSettings

if TYPE_CHECKING:
    from workers.telemetry.tracing import Tracing


def open_tracing(settings: TraceSettings, deployment: str, where: Mapping[str, Any]) -> Tracing | None:
    """The traces of a replica; None where no collector is named.

    Args:
        settings: of the traces.
        deployment: name of the replica's deployment.
        where: names the replica.
    """
    if settings.endpoint is None:
        return None
    from workers.telemetry.tracing import Tracing

    return Tracing(settings.endpoint, settings.ratio, deployment, where["replica"])
