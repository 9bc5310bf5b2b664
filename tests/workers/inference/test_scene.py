"""A stream of the service that asks for its scene: boxes and states reach results and the preview."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.boxes import Box
from pipeline.defaults import DEFAULT_MODEL
from pipeline.engine import Engine
from pipeline.errors import UsageError
from pipeline.frame import FrameTimes
from pipeline.history import find
from pipeline.models import load_model
from pipeline.scene.learning import examples_of, patches_of
from pipeline.scene.means import learned
from pipeline.scene.naming import learned as learned_classes
from pipeline.scene.naming import values_of
from pipeline.scene.polygon import Polygon
from pipeline.scene.scene import seen_as
from pipeline.scene.zones import Zones
from tests.vocab.servers import eventually
from tests.workers.inference.examples import FULL, batch, clip, encoded
from tests.workers.inference.test_core import Replica, redis, results, server
from workers.contract.history_log import HistoryLog
from workers.contract.keys import StreamKeys
from workers.contract.messages import TokenSettings
from workers.gateway.messages import ResultView
from workers.inference.moments import Moments, Shown

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


def test_what_changed_is_found_again_by_a_box_where_a_history_is_kept(server: Any, redis: Any) -> None:
    replica = Replica(server.url)
    (frame,) = clip(count=1)
    frames = [replace(frame, times=FrameTimes(pts_s=float(second))) for second in range(10)]
    random = np.random.default_rng(0)
    for number, corner in ((7, np.s_[-84:-28, -84:-28]), (8, np.s_[28:84, 28:84])):
        image = frame.image.copy()
        image[corner] = random.integers(0, 255, (56, 56, 3), np.uint8)
        frames[number] = replace(frames[number], image=image)
    asked = replace(PLAIN, changed=True, history=2**20)
    replica.infer(batch("asks", 0, 10, asked, frames=frames))
    side = frame.image.shape[0]
    box = f"{1 - 84 / side},{1 - 84 / side},{56 / side},{56 / side}"
    (wanted,) = replica.do(replica.core.questions.look(encoded(frames[7].image), asked, box))
    # Half of the picture is no thing.
    (part,) = replica.do(replica.core.questions.look(encoded(frames[7].image), asked, "0.5,0.5,.5,.5"))
    replica.close()

    records = HistoryLog(redis, "asks").records(DEFAULT_MODEL)
    assert records is not None
    found = find(records, wanted, apart_s=0)
    assert [one.moment.frame for one in found[:2]] == [7, 8]
    assert found[0].score > found[1].score
    assert found[0].box is not None
    assert min(found[0].box[:2]) > 0.4
    assert part.thing is None
    assert find(records, part, apart_s=0)[0].box is None


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


def test_what_a_zone_looks_like_is_that_of_the_next_frame_run_in_full(server: Any, redis: Any) -> None:  # noqa: ARG001
    replica = Replica(server.url)
    # It is waited for only so long, and that is not for loading a model.
    replica.do(replica.core.describe(DEFAULT_MODEL))
    frames = clip(count=4)
    model = load_model()
    asked = replica.core.questions.example("yard", FACE.points, None)
    other = replica.core.questions.example("yard", FACE.points, None)
    # It waits for a frame, and however the stream is tokenized it runs in full.
    recall = TokenSettings(DEFAULT_MODEL, "recall", {}, "yard")
    found, again, _ = replica.do(asked, other, replica.core.infer(batch("yard", 0, 4, recall)))
    replica.close()
    assert nearest(found.vector, frames) == 3
    assert (found.model, found.seen_as, found.frame) == (model.name, seen_as(model.input), 3)
    np.testing.assert_array_equal(found.vector, again.vector)


def nearest(vector: Any, frames: list[Any]) -> int:
    """Which of the frames looks like that, run in full; runtimes differ a little."""
    expected = np.stack(examples_of(FACE, frames, patches_of(load_model(), frames), 14))
    assert (expected @ vector).max() > 0.9995
    return int((expected @ vector).argmax())


def test_a_moment_that_cannot_be_had_is_refused(server: Any, redis: Any) -> None:  # noqa: ARG001
    replica = Replica(server.url)

    async def seen(stream: str, polygon: Any, *batches: Any) -> Any:
        return await asyncio.gather(
            replica.core.questions.example(stream, polygon, None),
            *map(replica.core.infer, batches),
            return_exceptions=True,
        )

    nothing, no_patches, crossed = replica.do(
        seen("quiet", FACE.points),
        seen("null", FACE.points, batch("null", 0, 1)),
        seen("yard", FACE.points[:2]),
    )
    replica.close()
    assert "no frame of quiet came" in str(nothing[0])
    assert "no patches to compare" in str(no_patches[0])
    assert "3 to 64 corners" in str(crossed[0])


def test_a_frame_that_was_just_shown_is_the_moment_though_others_came_since(
    server: Any, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where the next takes long, it is just shown for as long.
    monkeypatch.setattr("workers.inference.moments._KEPT_S", 600.0)
    replica = Replica(server.url)
    redis.set(StreamKeys("yard").watched, 1)
    frames = clip(count=4)
    replica.infer(batch("yard", 0, 2, PLAIN))
    # It is painted once its results are durable.
    eventually(lambda: redis.hget(StreamKeys("yard").preview, "frame") == b"1")
    replica.infer(batch("yard", 2, 2, PLAIN))
    eventually(lambda: replica.core._moments.at("yard", 1) is not None)
    (found,) = replica.do(replica.core.questions.example("yard", FACE.points, 1))
    replica.close()
    assert nearest(found.vector, frames) == found.frame == 1


def test_of_what_was_shown_so_much_is_kept() -> None:
    moments = Moments(kept_bytes=3 * clip(count=1)[0].image.nbytes)
    engine = Engine(load_model())
    for number, frame in enumerate(clip(count=5)):
        moments.keep("yard", Shown(frame, number, engine, PLAIN))
    assert [number for number in range(5) if moments.at("yard", number)] == [2, 3, 4]
    assert moments.at("gate", 4) is None
