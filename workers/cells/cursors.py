"""Where a list that comes in pages goes on, in each of several cells."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode

from pydantic import TypeAdapter, ValidationError

from workers.gateway.problems import Problem

_MARKS = TypeAdapter(dict[str, str])


def packed(marks: dict[str, str]) -> str:
    """What each cell said by its name, as one word."""
    return urlsafe_b64encode(json.dumps(marks).encode()).decode()


def unpacked(word: str | None) -> dict[str, str] | None:
    """The opposite; None for none.

    Raises:
        Problem: it is no such word.
    """
    if word is None:
        return None
    try:
        return _MARKS.validate_json(urlsafe_b64decode(word.encode()))
    except (ValueError, ValidationError):
        raise Problem(422, "that is no place in a list; give what a page before said", "invalid") from None
