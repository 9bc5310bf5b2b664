from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UsageError
from workers.find.asked import Asked, point_in_time

PICTURE = Path("picture.png")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "--like PICTURE or --text TEXT"),
        ({"like": PICTURE, "text": "a van"}, "one of them"),
        ({"text": "a van", "box": "0,0,1,1"}, "--box"),
        ({"text": "a van", "text_model": "ViT-B-16"}, "both or neither"),
        ({"like": PICTURE, "labels": PICTURE}, "for --text"),
        ({"text": "a van", "labels": PICTURE, "text_model": "a", "text_weights": "b"}, "leave out"),
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Asked(**given)


def test_a_time_is_seconds_or_a_date_and_time() -> None:
    assert point_in_time(None) is None
    assert point_in_time("12.5") == 12.5
    assert point_in_time("2026-11-26T14:30+00:00") == datetime(2026, 11, 26, 14, 30, tzinfo=UTC).timestamp()
    assert point_in_time("2026-11-26 14:30") == datetime(2026, 11, 26, 14, 30).timestamp()


@pytest.mark.parametrize("text", ["", "noon", "nan", "inf", "2026-13-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no time"):
        point_in_time(text)
