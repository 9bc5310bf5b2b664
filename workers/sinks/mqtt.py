"""Results as MQTT messages."""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import unquote

from pydantic import Field, SecretStr, StringConstraints, field_validator

from workers.settings.schema import AccessSettings
from workers.sinks.mqtt_discovery import Message, Sensors
from workers.sinks.settings import UrlSinkSettings
from workers.sinks.sink import SinkError
from workers.sinks.urls import split_url, topic_of

_TIMEOUT_S = 10.0
_PORTS = {"mqtt": 1883, "mqtts": 8883}
# Message id acknowledged, or None when the connection is there; or why it is not.
_Event = int | None | SinkError


class MqttSettings(UrlSinkSettings):
    """Publishes a message per result with QoS 1.

    Attributes:
        url: mqtt://[user:password@]host[:1883]/topic, or mqtts:// for TLS.
        discovery: prefix under which Home Assistant looks for devices, where each rule of the stream is to be
            one of its binary sensors; None for none.
    """

    schemes: ClassVar[tuple[str, ...]] = tuple(_PORTS)
    library: ClassVar[str | None] = "paho.mqtt"
    extra: ClassVar[str | None] = "mqtt"

    kind: Literal["mqtt"] = "mqtt"
    discovery: (
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_\-]+(/[A-Za-z0-9_\-]+)*$", max_length=200)]
        | None
    ) = Field(
        default=None,
        description="Prefix of Home Assistant's MQTT discovery, mostly homeassistant: each rule becomes a "
        "binary sensor of the stream there.",
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: SecretStr) -> SecretStr:
        if set(topic_of(url, cls.schemes)) & set("+#\0"):
            raise ValueError("the topic of an MQTT sink may hold no + and no #")
        return url

    def open(self, stream: str, access: AccessSettings) -> MqttTopic:
        """See `SinkSettings`."""
        return MqttTopic(self, self.addresses(access)[0], stream)


class MqttTopic:
    """Publishes with QoS 1 and waits until the broker has acknowledged every message.

    Speaks MQTT 5, because older brokers acknowledge also what they refuse to take.

    Args:
        settings: where to.
        address: of the broker, checked.
        stream: id of the stream.

    Raises:
        SinkError: the broker cannot be reached or refuses us.
    """

    def __init__(self, settings: MqttSettings, address: str, stream: str) -> None:
        from paho.mqtt.client import Client, MQTTv5
        from paho.mqtt.enums import CallbackAPIVersion

        self._shown = settings.display
        self._topic = topic_of(settings.url, settings.schemes)
        self._sensors = (
            None if settings.discovery is None else Sensors(settings.discovery, self._topic, stream)
        )
        self._events: SimpleQueue[_Event] = SimpleQueue()
        # Who opens a sink again after a failure is who called us.
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5, reconnect_on_failure=False)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.connect_timeout = _TIMEOUT_S
        url = split_url(settings.url, settings.schemes)
        if url.username is not None:
            self._client.username_pw_set(
                unquote(url.username), None if url.password is None else unquote(url.password)
            )
        if url.scheme == "mqtts":
            self._client.tls_set_context(_named(settings.host))
        try:
            self._client.connect(address, url.port or _PORTS[url.scheme])
        except (OSError, ValueError) as error:
            raise SinkError(f"cannot reach {self._shown}: {error}; start it or check its URL") from error
        self._client.loop_start()
        try:
            self._wait(time.monotonic() + _TIMEOUT_S)
        except SinkError:
            self.close()
            raise

    def write(self, results: Sequence[bytes]) -> None:
        """See `Sink`."""
        messages = [Message(self._topic, result) for result in results]
        if self._sensors is not None:
            messages += self._sensors.states(results)
        self._publish(messages)

    def announce(self, rules: Sequence[str]) -> None:
        """See `Announcing`."""
        if self._sensors is not None:
            self._publish(self._sensors.configurations(rules))

    def _publish(self, messages: Sequence[Message]) -> None:
        """Publishes messages in order and waits until each is acknowledged."""
        from paho.mqtt.client import MQTT_ERR_SUCCESS

        waiting = set()
        for message in messages:
            sent = self._client.publish(message.topic, message.payload, qos=1, retain=message.retain)
            if sent.rc != MQTT_ERR_SUCCESS:
                raise SinkError(f"{self._shown} is not connected; start it or check its URL")
            waiting.add(sent.mid)
        deadline = time.monotonic() + _TIMEOUT_S
        while waiting:
            waiting.discard(self._wait(deadline))

    def close(self) -> None:
        """See `Sink`."""
        self._client.disconnect()
        self._client.loop_stop()

    def _wait(self, deadline: float) -> int | None:
        try:
            event = self._events.get(timeout=max(deadline - time.monotonic(), 0))
        except Empty:
            raise SinkError(
                f"{self._shown} did not answer within {_TIMEOUT_S:.0f} s; look at its load and the network"
            ) from None
        if isinstance(event, SinkError):
            raise event
        return event

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        refused = SinkError(f"{self._shown} refuses us: {reason}; check the user and password of the URL")
        self._events.put(refused if reason.is_failure else None)

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._events.put(SinkError(f"{self._shown} went away: {reason}; look at its log"))

    def _on_publish(self, _client: Any, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        refused = SinkError(f"{self._shown} refuses results: {reason}; check what the user may publish")
        self._events.put(refused if reason.is_failure else mid)


def _named(host: str) -> ssl.SSLContext:
    """Verifies a certificate for the host that was named, whatever address is connected to."""

    class Named(ssl.SSLContext):
        def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
            return super().wrap_socket(*arguments, **{**options, "server_hostname": host})

    context = Named(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    return context
