"""Takes secrets out of any text that is logged, shown or stored: user info and secret parameters of URLs."""

from __future__ import annotations

import re

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^\s\"<>]+")
# Greedy to the last "@": a raw "/", ":" or "@" in a password would otherwise leave a part of it in view.
_USERINFO = re.compile(r"(?<=://).*@")
_SECRET_PARAMETER = re.compile(
    r"([?&;#/][^=&;#/?]*"
    r"(?:pass|pwd|token|secret|key|sig|auth|credential|session|jwt|user|login|account)"
    r"[^=&;#/?]*=)[^&\s]*",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """Replaces user info and the values of secret query parameters in every URL inside `text` by `***`.

    When in doubt it hides too much: everything between `://` and the last `@` of a URL counts as user info,
    and a secret parameter's value reaches to the next `&`.
    """
    return _URL.sub(lambda url: _hide(url.group()), text)


def _hide(url: str) -> str:
    return _SECRET_PARAMETER.sub(r"\1***", _USERINFO.sub("***@", url))
