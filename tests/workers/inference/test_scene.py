"""A stream of the service that asks for its scene: boxes and states reach results and the preview."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.boxes import Box
from pipeline.defaults import DEFAULT_MODEL
from pipeline.errors import UsageError
from pipeline.frame import FrameTimes
from pipeline.models import load_model
from pipeline.scene.learning import examples_of, learned, patches_of
from pipeline.scene.naming import learned as learned_classes
from pipeline.scene.naming import values_of
from pipeline.scene.polygon import Polygon
from pipeline.scene.scene import seen_as
from pipeline.scene.zones import Zones
from tests.workers.inference.examples import FULL, batch, clip
from tests.workers.inference.test_core import Replica, redis, results, server
from workers.contract.messages import TokenSettings
from workers.gateway.messages import ResultView

__all__ = ["redis", "server"]  # fixtures

FACE = Polygon.of([(0.3, 0.2), (0.7, 0.2), (0.7, 0.8), (0.3, 0.8)])
PLAIN = replace(FULL, model=DEFAULT_MODEL)


@pytest.fixture(scope="module")
def zones() -> dict[str, Any]:
    """A zone that is as the clip has it, or blank."""
    model, frames = load_model(), clip(count=3)
    blank = [replace(frame, image=np.full_like(frame.image, 90 + 10 * i)) for i, frame in enumerate(frames)]
    made = {
        name: examples_of(FACE, some, patches_of(model, some), 14)
        for name, some in (("somebody", frames), ("nobody", blank))
    }
    return Zones(model.name, seen_as(model.input), {"seat": learned("seat", FACE, made)}).to_dict()


def test_what_it_asks_for_is_in_its_results_from_one_message_to_the_next(
    server: Any, redis: Any, zones: dict[str, Any]
) -> None:
    replica = Replica(server.url)
    (frame,) = clip(count=1)
    still = [replace(frame, times=FrameTimes(pts_s=float(second))) for second in range(12)]
    thing = still[-1].image.copy()
    thing[-84:-28, -84:-28] = np.random.default_rng(0).integers(0, 255, (56, 56, 3), np.uint8)
    still[-1] = replace(still[-1], image=thing)
    asked = replace(PLAIN, changed=True, zones=zones)
    for first in (0, 4, 8):
        replica.infer(batch("asks", first, 4, asked, frames=still), batch("plain", first, 4, PLAIN))
    replica.close()

    told = [ResultView.model_validate(result) for result in results(redis, "asks")]
    assert told[0].changed is None
    assert told[-2].changed == []
    assert told[-1].changed
    best = max(told[-1].changed, key=lambda box: box.score)
    assert best.x + best.w > 0.6
    assert best.y + best.h > 0.6
    assert all(one.zones is not None and one.zones["seat"].state == "somebody" for one in told)
    assert not any({"changed", "zones"} & set(result) for result in results(redis, "plain"))


def test_classes_name_its_boxes_whatever_its_batch_mates_ask_for(server: Any, redis: Any) -> None:
    replica, model = Replica(server.url), load_model()
    (frame,) = clip(count=1)
    still = [replace(frame, times=FrameTimes(pts_s=float(second))) for second in range(8)]
    thing = still[-1].image.copy()
    thing[-84:-28, -84:-28] = np.random.default_rng(0).integers(0, 255, (56, 56, 3), np.uint8)
    still[-1] = replace(still[-1], image=thing)
    height, width = thing.shape[:2]
    box = Box(1 - 84 / width, 1 - 84 / height, 56 / width, 56 / height, "noise", 1.0)
    classes = learned_classes(model, still[-1:] * 2, values_of(model, still[-1:] * 2), [[box]] * 2)
    asked = replace(PLAIN, classes=classes.to_dict())
    replica.infer(batch("names", 0, 8, asked, frames=still), batch("plain", 0, 8, PLAIN))
    replica.close()

    told = [ResultView.model_validate(result) for result in results(redis, "names")]
    assert told[-2].changed == []
    assert told[-1].changed
    assert max(told[-1].changed, key=lambda box: box.w * box.h).name == "noise"
    assert not any("changed" in result for result in results(redis, "plain"))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (replace(FULL, changed=True), "has no patches to compare"),
        (replace(PLAIN, size="448"), "cannot be told by 448x448"),
    ],
    ids=["null", "448 px"],
)
def test_what_cannot_be_seen_is_refused(
    server: Any,
    redis: Any,  # noqa: ARG001 - emptied before
    zones: dict[str, Any],
    settings: TokenSettings,
    why: str,
) -> None:
    replica = Replica(server.url)
    side = 448 if settings.size else 224
    frames = [
        replace(frame, image=np.zeros((side, side, 3), np.uint8)) for frame in clip(settings.model, count=1)
    ]
    with pytest.raises(UsageError, match=why):
        replica.infer(batch("asks", 0, 1, replace(settings, zones=zones), frames=frames))
    replica.close()
