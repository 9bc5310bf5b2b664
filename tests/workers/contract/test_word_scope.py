"""Which window and words a stream has."""

from __future__ import annotations

from typing import Any

import pytest

from vocab.keys import ScopeKeys
from workers.contract.stream_spec import StreamSpec


@pytest.mark.parametrize(
    ("given", "scope"),
    [
        ({}, "gate/m"),
        ({"labels": {"site": "north"}}, "site:north/m"),
        ({"labels": {"floor": "2"}}, "gate/m"),
        ({"labels": {"site": "north"}, "scope": "yard"}, "yard"),
        # What cannot be part of a key.
        ({"labels": {"site": "up north"}}, "gate/m"),
        ({"labels": {"site": "{north}"}}, "gate/m"),
        ({"labels": {"site": "n" * 101}}, "gate/m"),
        ({"labels": {"site": "nor\u200bth"}}, "gate/m"),
        ({"labels": {"site": ""}}, "gate/m"),
    ],
)
def test_streams_of_a_site_and_a_model_share_words_unless_a_scope_is_named(
    given: dict[str, Any], scope: str
) -> None:
    spec = StreamSpec(id="gate", source="x", model="m", **given)
    assert spec.word_scope == scope
    assert ScopeKeys(spec.word_scope).window
