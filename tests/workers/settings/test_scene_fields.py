"""Zones and classes of a stream are checked when they are given, and kept as they were read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.scene.polygon import Polygon
from pipeline.scene.zones import Zone, Zones
from tests.pipeline.scene.examples import a_classes
from workers.contract.stream_spec import StreamSettings


@pytest.fixture
def zones() -> dict[str, Any]:
    means = dict(zip(("open", "closed"), np.eye(2, dtype=np.float32), strict=True))
    gate = Zone(Polygon.of([(0, 0), (1, 0), (1, 1)]), means, dict.fromkeys(means, 5), 0.1, 1.0)
    return Zones("a-model", "448x448 native", {"gate": gate}).to_dict()


def test_a_stream_has_neither_unless_it_asks() -> None:
    settings = StreamSettings()
    assert (settings.changed, settings.zones, settings.classes) == (False, None, None)


def test_what_vwt_zones_learn_writes_is_taken_and_nothing_else_is_kept(zones: dict[str, Any]) -> None:
    assert StreamSettings(zones=zones).zones == zones
    assert StreamSettings(zones=zones | {"more": "of it"}).zones == zones


def test_zones_that_cannot_be_right_are_refused_with_the_reason(zones: dict[str, Any]) -> None:
    zones["zones"]["gate"]["polygon"] = [[0, 0], [1, 1], [1, 0], [0, 1]]
    with pytest.raises(ValidationError, match="lines of the polygon cross"):
        StreamSettings(zones=zones)
    with pytest.raises(ValidationError, match="no zones that can be used"):
        StreamSettings(zones={})


def test_what_vwt_classes_learn_writes_is_taken_and_nothing_else_is_kept() -> None:
    classes = a_classes().to_dict()
    assert StreamSettings(classes=classes | {"more": "of it"}).classes == classes


def test_classes_that_cannot_be_right_are_refused_with_the_reason() -> None:
    classes = a_classes().to_dict()
    with pytest.raises(ValidationError, match="0 names: there may be 1 to 16"):
        StreamSettings(classes=classes | {"names": {}})
    with pytest.raises(ValidationError, match="no classes that can be used"):
        StreamSettings(classes={})
