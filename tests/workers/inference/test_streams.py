"""What a replica keeps of its streams has a bound, and goes when nobody asks for it any more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.engine import Engine
from pipeline.errors import UsageError
from pipeline.frame import Frame, FrameTimes, Geometry
from pipeline.guard.guarded import Guarded
from pipeline.input_spec import InputSpec
from pipeline.models.heads import LabelHead
from pipeline.models.packed import PackedModel
from pipeline.scene.polygon import Polygon
from pipeline.scene.scene import seen_as
from pipeline.scene.zones import Zone, Zones
from tests.pipeline.models.families import build
from tests.pipeline.scene.examples import a_classes
from tests.vocab.servers import eventually
from vocab.window import WindowOptions
from workers.contract.messages import TokenSettings
from workers.inference.streams import Streams

SIDE = 112
SETTINGS = TokenSettings("small", "recall", {}, "any")


@pytest.fixture(scope="module")
def engine() -> Engine:
    model = build("dinov2 with registers", 2)
    return Engine(PackedModel("small", model, LabelHead(None), InputSpec(SIDE, SIDE)))


def opened(**settings: Any) -> Streams:
    """Of a replica without Redis, which those that recall need not."""

    def none() -> Any:
        raise AssertionError("nobody wants words")

    return Streams(none, WindowOptions(), **settings)


def run(engine: Engine, tokenizer: Guarded, pts_s: float = 0.0) -> str | None:
    """Answers a frame; the decision."""
    image = np.full((SIDE, SIDE, 3), 90, np.uint8)
    geometry = Geometry(SIDE, SIDE, SIDE, SIDE, 1.0, 1.0, 0.0, 0.0)
    frames = [Frame(FrameTimes(pts_s=pts_s), image, geometry)]
    return engine.submit_parts([tokenizer.part(frames)]).result().frames[0].decision


def test_streams_that_all_began_in_one_pass_keep_no_more_than_the_cap_for_long(engine: Engine) -> None:
    alone = opened()
    one = alone.get("a", SETTINGS, engine.model)
    run(engine, one)
    alone.close()
    streams = opened(recall_bytes=2 * one.bytes + one.bytes // 2)
    tokenizers = [streams.get(name, SETTINGS, engine.model) for name in "abcde"]

    for tokenizer in tokenizers:
        run(engine, tokenizer)

    eventually(lambda: sum(tokenizer.bytes for tokenizer in tokenizers) <= 2 * one.bytes)
    # Those not used for longest went first.
    assert [tokenizer.bytes > 0 for tokenizer in tokenizers] == [False, False, False, True, True]
    assert [run(engine, tokenizer, 1.0) for tokenizer in tokenizers] == ["full"] * 3 + ["hold"] * 2
    streams.close()


def test_a_stream_that_is_paused_for_long_frees_what_it_kept_and_begins_anew(engine: Engine) -> None:
    streams = opened(unused_s=0.2)
    before = streams.get("yard", SETTINGS, engine.model)
    run(engine, before)
    assert before.bytes > 0

    eventually(lambda: before.bytes == 0)

    after = streams.get("yard", SETTINGS, engine.model)
    assert run(engine, after, 1.0) == "full"
    streams.close()


def test_a_stream_whose_zones_change_recalls_on(engine: Engine) -> None:
    streams = opened()
    before = streams.get("yard", SETTINGS, engine.model)
    run(engine, before)
    means = {"open": np.eye(64, dtype=np.float32)[0], "closed": np.eye(64, dtype=np.float32)[1]}
    gate = Zone(Polygon.of([(0, 0), (1, 0), (1, 1)]), means, dict.fromkeys(means, 5), 0.1, 1.0)
    seen = seen_as(engine.model.inputs.spec("small", None, None))
    zones = Zones("small", seen, {"gate": gate}).to_dict()

    after = streams.get("yard", replace(SETTINGS, zones=zones), engine.model)

    assert after is before
    assert after.scene is not None
    assert run(engine, after, 1.0) == "hold"
    with pytest.raises(UsageError, match="cannot be told"):
        streams.get("yard", replace(SETTINGS, zones={**zones, "model": "another"}), engine.model)
    assert streams.get("yard", SETTINGS, engine.model).scene is None
    streams.close()


def test_a_stream_whose_names_change_recalls_on(engine: Engine) -> None:
    streams = opened()
    before = streams.get("yard", SETTINGS, engine.model)
    run(engine, before)
    seen = seen_as(engine.model.inputs.spec("small", None, None))
    classes = replace(a_classes(), model="small", seen_as=seen).to_dict()

    after = streams.get("yard", replace(SETTINGS, classes=classes), engine.model)

    assert after is before
    assert after.scene is not None
    assert after.scene.wants_values
    assert run(engine, after, 1.0) == "hold"
    assert streams.get("yard", SETTINGS, engine.model).scene is None
    streams.close()


def test_a_stream_whose_settings_change_begins_anew(engine: Engine) -> None:
    streams = opened()
    before = streams.get("yard", SETTINGS, engine.model)
    run(engine, before)

    narrow = TokenSettings("small", "recall", {"cache": "int8"}, "any")
    after = streams.get("yard", narrow, engine.model)

    assert before.bytes == 0
    assert [run(engine, after, pts_s) for pts_s in (1.0, 2.0)] == ["full", "hold"]
    streams.close()
