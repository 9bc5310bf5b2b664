"""Results as HTTP requests."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from functools import partial
from typing import Annotated, ClassVar, Literal

from pydantic import Field, SecretStr, field_serializer, field_validator

from pipeline.redact import redact_path
from workers.settings.schema import AccessSettings
from workers.sinks.settings import UrlSinkSettings
from workers.sinks.sink import SinkError

_TIMEOUT_S = 10.0


class WebhookSettings(UrlSinkSettings):
    """Posts results as {"stream", "results": [...]}, in order; any 2xx status takes them.

    Attributes:
        url: http:// or https://; redirects are not followed.
        authorization: value of that header, such as "Bearer abc"; None for none.
    """

    schemes: ClassVar[tuple[str, ...]] = ("http", "https")

    kind: Literal["webhook"] = "webhook"
    authorization: Annotated[SecretStr, Field(max_length=4096)] | None = None

    @field_validator("authorization")
    @classmethod
    def _check_authorization(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[\x21-\x7e]+( +[\x21-\x7e]+)*", value.get_secret_value()):
            raise ValueError("a header holds printable ASCII only, with nothing but spaces between")
        return value

    @property
    def display(self) -> str:
        """Scheme, host and port: who knows the path of a webhook may post to it."""
        return redact_path(self.url.get_secret_value())

    @field_serializer("authorization", when_used="json")
    def _keep_authorization(self, value: SecretStr | None) -> str | None:
        return None if value is None else value.get_secret_value()

    def open(self, stream: str, access: AccessSettings) -> Webhook:
        """See `SinkSettings`."""
        return Webhook(self, stream, access)


class Webhook:
    """Posts a batch as one JSON object, and takes any 2xx status for its receipt.

    Args:
        settings: where to.
        stream: id of the stream.
        access: what may be connected to.
    """

    def __init__(self, settings: WebhookSettings, stream: str, access: AccessSettings) -> None:
        import httpx

        self._url = settings.url.get_secret_value()
        self._shown = settings.display
        self._stream = stream
        # It tells every request with its URL.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        headers = {"Content-Type": "application/json", "User-Agent": "vwt-stream"}
        if settings.authorization is not None:
            headers["Authorization"] = settings.authorization.get_secret_value()
        # No proxy and no .netrc of the machine: neither was meant for what a caller names.
        self._client = httpx.Client(headers=headers, timeout=_TIMEOUT_S, trust_env=False)
        self._addresses = partial(settings.addresses, access)
        self._host = settings.host

    def write(self, results: Sequence[bytes]) -> None:
        """See `Sink`."""
        import httpx

        body = b'{"stream":%b,"results":[%b]}' % (json.dumps(self._stream).encode(), b",".join(results))
        request = self._client.build_request("POST", self._url, content=body)
        # Its header names the host already; the connection goes to an address that was checked.
        request.url = request.url.copy_with(host=self._addresses()[0])
        request.extensions = {**request.extensions, "sni_hostname": self._host}
        try:
            # The answer's body means nothing to us, so it is not read.
            response = self._client.send(request, stream=True)
            status = response.status_code
            response.close()
        except httpx.TimeoutException as error:
            raise SinkError(
                f"{self._shown} did not answer within {_TIMEOUT_S:.0f} s; look at its load and the network"
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SinkError(f"cannot reach {self._shown}: {error}; start it or check its URL") from error
        if 300 <= status < 400:
            raise SinkError(f"{self._shown} redirects (status {status}); give the address it leads to")
        if not 200 <= status < 300:
            raise SinkError(f"{self._shown} refused results with status {status}; look at its log")

    def close(self) -> None:
        """See `Sink`."""
        self._client.close()
