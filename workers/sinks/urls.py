"""What stands in the URL of a sink."""

from __future__ import annotations

from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import SecretStr


def split_url(url: SecretStr, schemes: tuple[str, ...]) -> SplitResult:
    """The parts of a URL with a host.

    Raises:
        ValueError: it is none, or has another scheme.
    """
    text = url.get_secret_value()
    try:
        parts = urlsplit(text)
        # A bad port raises only when it is asked for.
        good = bool(parts.hostname) and parts.port != 0 and parts.scheme in schemes
    except ValueError:
        good = False
    if not good or any(c in text for c in " \r\n\t"):
        forms = " or ".join(f"{scheme}://" for scheme in schemes)
        # Not chained: what urllib says may quote a part of a password.
        raise ValueError(f"the URL must be {forms} with a host, special characters percent-encoded") from None
    return parts


def topic_of(url: SecretStr, schemes: tuple[str, ...]) -> str:
    """The topic that the URL of a broker names.

    Raises:
        ValueError: it is no such URL.
    """
    parts = split_url(url, schemes)
    topic = unquote(parts.path.removeprefix("/"))
    if not topic or parts.query or parts.fragment:
        raise ValueError(f"the URL must read {schemes[0]}://host/topic")
    return topic
