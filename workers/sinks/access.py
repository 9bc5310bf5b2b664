"""Which sinks a stream may have. Whoever adds one need not be trusted with every address and file."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.errors import UsageError
from workers.access.addresses import AllowedHosts
from workers.access.files import allowed_file
from workers.contract.sink_specs import (
    JsonlSettings,
    KafkaSettings,
    MqttSettings,
    SinkSettings,
    WebhookSettings,
)
from workers.settings.schema import AccessSettings

_MODULES = {"mqtt": "paho.mqtt", "kafka": "confluent_kafka"}


def check_sinks(sinks: Iterable[SinkSettings], access: AccessSettings) -> None:
    """Refuses sinks that the service may not deliver to.

    Blocks for up to 3 s per sink while a host is looked up. The address may change afterwards, so whoever
    opens the sink checks it again.

    Raises:
        UsageError: one is refused, has no address, or needs an extra that is not installed.
    """
    for sink in sinks:
        check_sink(sink, access)


def check_sink(sink: SinkSettings, access: AccessSettings) -> None:
    """See `check_sinks`."""
    match sink:
        case JsonlSettings():
            _check_file(sink, access)
        case WebhookSettings() | MqttSettings() | KafkaSettings():
            _check_extra(sink.kind)
            host = urlsplit(sink.url.get_secret_value()).hostname or ""
            refusal = "the sink {} may not be delivered to"
            AllowedHosts(access.allow_hosts).check(host, sink.display, refusal)


def _check_file(sink: JsonlSettings, access: AccessSettings) -> None:
    refusal = f"the sink {sink.path} may not be written"
    real = allowed_file(Path(sink.path), access, refusal)
    if real.suffix != ".jsonl":
        raise UsageError(f"{refusal}: it leads to a file that does not end in .jsonl")


def _check_extra(kind: str) -> None:
    module = _MODULES.get(kind)
    if module is None:
        return
    try:
        found = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        found = False
    if not found:
        raise UsageError(
            f"{kind} sinks need a package that the service lacks: pip install 'vwt-stream[{kind}]' there"
        )
