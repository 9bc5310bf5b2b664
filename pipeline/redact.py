"""Takes secrets out of any text that is logged, shown or stored: of a URL only what is no secret stays."""

from __future__ import annotations

import re

HIDDEN = "***"

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*://)([^\s\"<>]+)")
# What a sentence puts behind a URL.
_END = re.compile(r"[.,;:)'\]]*$")
# Names, addresses and ports, also several, and as a help text writes them.
_AUTHORITY = re.compile(r"[A-Za-z0-9.\-_:%,\[\]…]*")
_WORDS = re.compile(r"[A-Za-z0-9._~\-+\[\]{}*…]*")
_LONGEST_WORDS, _LONGEST_WORD = 48, 16
# h264Preview_01_main has four; a random token of twelve characters hardly as few.
_MOST_CHANGES = 4
_CHANGE = re.compile(r"(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])|(?<=[a-z])(?=[A-Z])")


def redact(text: str) -> str:
    """Leaves of every URL inside `text` scheme, host, port, the words of its path and names of parameters.

    Hidden as `***` are user info, every value in a query, fragments, and the parts of a path that are not
    made of a few short words: keys, tokens, `name=value`. When in doubt it hides too much: everything between
    `://` and the last `@` counts as user info.
    """
    return _URL.sub(lambda url: url[1] + _hide(url[2]), text)


def redact_path(url: str) -> str:
    """Leaves of a URL the scheme, host and port only: the path of a webhook is its key."""
    scheme, _, rest = redact(url).partition("://")
    return f"{scheme}://{re.split(r'[/?#]', rest, maxsplit=1)[0]}/{HIDDEN}"


def _hide(rest: str) -> str:
    end = _END.search(rest)
    tail = end[0] if end else ""
    rest = rest[: len(rest) - len(tail)]
    if tail.startswith("]") and rest.count("[") > rest.count("]"):
        rest, tail = f"{rest}]", tail[1:]
    _user, at, rest = rest.rpartition("@")
    match = re.match(r"([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?$", rest, re.DOTALL)
    assert match is not None, "every text has these parts"
    authority, path, query, fragment = match.groups(default="")
    shown = [f"{HIDDEN}@" if at else "", authority if _AUTHORITY.fullmatch(authority) else HIDDEN]
    shown.append("/".join(map(_segment, path.split("/"))))
    shown.append("?" + "&".join(map(_parameter, query[1:].split("&"))) if query else "")
    shown.append(f"#{HIDDEN}" if fragment else "")
    return "".join(shown) + tail


def _segment(segment: str) -> str:
    name, equals, _ = segment.partition("=")
    if equals:
        return f"{_segment(name)}={HIDDEN}"
    plain = segment.replace("%20", "-")
    return segment if _is_words(plain) or segment == HIDDEN else HIDDEN


def _parameter(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    return f"{_segment(name)}={HIDDEN}" if equals else HIDDEN if parameter else ""


def _is_words(text: str) -> bool:
    return (
        len(text) <= _LONGEST_WORDS
        and _WORDS.fullmatch(text) is not None
        and len(_CHANGE.findall(text)) <= _MOST_CHANGES
        and all(len(word) <= _LONGEST_WORD for word in re.split(r"[^A-Za-z0-9]+", text))
    )
