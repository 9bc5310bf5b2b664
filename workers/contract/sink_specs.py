"""Where a stream's results may be delivered to beside the API, as the caller names it."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    field_serializer,
)

from pipeline.redact import redact

SinkName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$")]

_DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883, "kafka": 9092}


class _Sink(BaseModel):
    """What sinks have in common.

    Attributes:
        kind: which of them it is.
        name: tells the sinks of a stream apart and keeps their offset; None for the kind.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    name: SinkName | None = None

    @property
    def key(self) -> str:
        """What it is called in Redis and in the API."""
        return self.name or self.kind

    @property
    def display(self) -> str:
        """Where results go, without credentials."""
        raise NotImplementedError


class _UrlSink(_Sink):
    """A sink behind a URL, which may hold credentials: it is kept, and never shown whole."""

    url: SecretStr

    @field_serializer("url", when_used="json")
    def _keep_url(self, url: SecretStr) -> str:
        # Redis must hold it as it is. Whatever else is made of the fields shows stars.
        return url.get_secret_value()

    @property
    def display(self) -> str:
        """The URL without credentials."""
        return redact(self.url.get_secret_value())


def _jsonl_path(path: str) -> str:
    if not path.endswith(".jsonl") or "\0" in path:
        # Otherwise a stream could be made to write into any file of the folders, clips too.
        raise ValueError("the file of a jsonl sink must end in .jsonl")
    return path


class JsonlSettings(_Sink):
    """Adds a line per result to a file.

    Attributes:
        path: a full path inside the folders that the service allows, ending in .jsonl.
    """

    kind: Literal["jsonl"] = "jsonl"
    path: Annotated[str, Field(max_length=4096), AfterValidator(_jsonl_path)]

    @property
    def display(self) -> str:
        """The path."""
        return self.path


def _http_url(url: SecretStr) -> SecretStr:
    _split(url, ("http", "https"))
    return url


class WebhookSettings(_UrlSink):
    """Posts results as {"stream", "results": [...]}, in order; any 2xx status takes them.

    Attributes:
        url: http:// or https://; redirects are not followed.
        authorization: value of that header, such as "Bearer abc"; None for none.
    """

    kind: Literal["webhook"] = "webhook"
    url: Annotated[SecretStr, Field(max_length=4096), AfterValidator(_http_url)]
    authorization: Annotated[SecretStr, Field(max_length=4096)] | None = None

    @field_serializer("authorization", when_used="json")
    def _keep_authorization(self, value: SecretStr | None) -> str | None:
        return None if value is None else value.get_secret_value()


def _mqtt_url(url: SecretStr) -> SecretStr:
    if set(topic_of(url, ("mqtt", "mqtts"))) & set("+#\0"):
        raise ValueError("the topic of an MQTT sink may hold no + and no #")
    return url


class MqttSettings(_UrlSink):
    """Publishes a message per result with QoS 1.

    Attributes:
        url: mqtt://[user:password@]host[:1883]/topic, or mqtts:// for TLS.
    """

    kind: Literal["mqtt"] = "mqtt"
    url: Annotated[SecretStr, Field(max_length=4096), AfterValidator(_mqtt_url)]


def _kafka_url(url: SecretStr) -> SecretStr:
    topic_of(url, ("kafka",))
    if "@" in url.get_secret_value():
        raise ValueError("a Kafka sink takes no login")
    return url


class KafkaSettings(_UrlSink):
    """Produces a record per result, its key the stream's id, acknowledged by all replicas.

    Attributes:
        url: kafka://host[:9092]/topic.
    """

    kind: Literal["kafka"] = "kafka"
    url: Annotated[SecretStr, Field(max_length=4096), AfterValidator(_kafka_url)]


SinkSettings = Annotated[
    JsonlSettings | WebhookSettings | MqttSettings | KafkaSettings, Field(discriminator="kind")
]


def different_names(sinks: list[Any]) -> list[Any]:
    """Refuses sinks of one name.

    Raises:
        ValueError: two have the same.
    """
    names = [sink.key for sink in sinks]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two sinks are called {name!r}; give one another name")
    return sinks


def address_of(url: SecretStr) -> tuple[str, int]:
    """Host and port of a broker's URL."""
    parts = urlsplit(url.get_secret_value())
    return parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]


def topic_of(url: SecretStr, schemes: tuple[str, ...] = tuple(_DEFAULT_PORTS)) -> str:
    """Topic of a broker's URL.

    Raises:
        ValueError: it is no such URL.
    """
    parts = _split(url, schemes)
    topic = unquote(parts.path.removeprefix("/"))
    if not topic or parts.query or parts.fragment:
        raise ValueError(f"the URL must read {schemes[0]}://host/topic")
    return topic


def _split(url: SecretStr, schemes: tuple[str, ...]) -> Any:
    try:
        parts = urlsplit(url.get_secret_value())
        # A bad port raises only when it is asked for.
        good = bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.scheme not in schemes or any(c in url.get_secret_value() for c in " \r\n\t"):
        forms = " or ".join(f"{scheme}://" for scheme in schemes)
        # Not chained: what urllib says may quote a part of a password.
        raise ValueError(f"the URL must be {forms} with a host, special characters percent-encoded") from None
    return parts
