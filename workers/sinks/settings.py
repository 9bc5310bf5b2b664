"""What every kind of sink says of itself: where results go, who may have it, and how it is opened."""

from __future__ import annotations

import importlib.util
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    field_serializer,
    field_validator,
)

from pipeline.errors import UsageError
from pipeline.redact import redact
from workers.access.addresses import AllowedHosts
from workers.settings.schema import AccessSettings
from workers.sinks.sink import Sink
from workers.sinks.urls import split_url

REFUSAL = "the sink {} may not be delivered to"
SinkName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$")]


class SinkSettings(BaseModel):
    """A sink of a stream, as the caller names it.

    Attributes:
        schemes: of the URLs that stand for such a sink; "" for a text that is no URL.
        field: takes that text.
        library: module that it needs and that may be missing; None for none.
        extra: of the package, brings the library.
        kind: which of the sinks it is.
        name: tells the sinks of a stream apart and keeps their place; None for the kind.
        events: what it takes: results and events ("also"), events alone ("only"), or results alone ("no").
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schemes: ClassVar[tuple[str, ...]]
    field: ClassVar[str]
    library: ClassVar[str | None] = None
    extra: ClassVar[str | None] = None

    kind: str
    name: SinkName | None = None
    events: Literal["also", "only", "no"] = Field(
        default="also", description="Takes events of the stream's rules beside results, alone, or not at all."
    )

    @property
    def key(self) -> str:
        """What it is called in Redis and in the API."""
        return self.name or self.kind

    @property
    def display(self) -> str:
        """Where results go, without credentials."""
        raise NotImplementedError

    def check(self, access: AccessSettings) -> None:
        """Refuses a sink that cannot be: whoever adds one need not be trusted with every address and file.

        Raises:
            UsageError: the service may not deliver there, or finds no such address, or lacks the extra.
        """
        if self.library is not None and not _installed(self.library):
            raise UsageError(
                f"{self.kind} sinks need a package that the service lacks: "
                f"pip install 'vwt-stream[{self.extra}]' there"
            )
        self.check_access(access)

    def check_access(self, access: AccessSettings) -> None:
        """Refuses a place that the service may not deliver to.

        Raises:
            UsageError: as `check`.
        """
        raise NotImplementedError

    def open(self, stream: str, access: AccessSettings) -> Sink:
        """Opens it for a stream, by its id; connects only to addresses that may be delivered to.

        Raises:
            SinkError: it cannot be reached.
            UsageError: it may not be.
        """
        raise NotImplementedError


class UrlSinkSettings(SinkSettings):
    """A sink behind a URL, which may hold credentials: it is kept, and never shown whole.

    Attributes:
        url: where to.
    """

    field: ClassVar[str] = "url"

    url: Annotated[SecretStr, Field(max_length=4096)]

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: SecretStr) -> SecretStr:
        split_url(url, cls.schemes)
        return url

    @field_serializer("url", when_used="json")
    def _keep_url(self, url: SecretStr) -> str:
        # Redis must hold it as it is. Whatever else is made of the fields shows stars.
        return url.get_secret_value()

    @property
    def display(self) -> str:
        """The URL without credentials."""
        return redact(self.url.get_secret_value())

    def check_access(self, access: AccessSettings) -> None:
        """See `SinkSettings`.

        Blocks for up to 3 s while the host is looked up. The address may change afterwards, so whoever
        connects takes `addresses` instead.
        """
        AllowedHosts(access.allow_hosts).check(self.host, self.display, REFUSAL)

    def addresses(self, access: AccessSettings) -> list[str]:
        """The addresses of its host: connect to one of these, and to no name.

        Raises:
            UsageError: one of them may not be delivered to, or it has none.
        """
        return AllowedHosts(access.allow_hosts).resolve(self.host, self.display, REFUSAL)

    @property
    def host(self) -> str:
        """The host that the URL names."""
        return urlsplit(self.url.get_secret_value()).hostname or ""


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
