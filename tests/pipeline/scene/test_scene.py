"""What a stream asks for is in its results, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.boxes import Box
from pipeline.energy import Ledger, open_meter
from pipeline.engine import Engine
from pipeline.errors import UsageError
from pipeline.frame import Frame, FrameTimes
from pipeline.models import load_model
from pipeline.results import FrameResult
from pipeline.scene import naming
from pipeline.scene.learning import examples_of, patches_of
from pipeline.scene.means import learned
from pipeline.scene.polygon import Polygon
from pipeline.scene.scene import Scene, seen_as
from pipeline.scene.zones import Zones
from pipeline.stream import StreamState
from pipeline.tokenizers.registry import kind_of
from pipeline.tokenizers.stateful import StatefulTokenizer
from pipeline.tokenizers.stream import StreamNeeds
from tests.pipeline.scene.examples import a_classes
from tests.workers.inference.examples import clip

# A quarter of the picture, lower right.
CORNER = Polygon.of([(0.5, 0.5), (1, 0.5), (1, 1), (0.5, 1)])


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(load_model())


@pytest.fixture(scope="module")
def scenes() -> dict[str, list[Frame]]:
    """A still picture with noise, and the same with a thing in the corner."""
    (frame,) = clip(count=1)
    random, found = np.random.default_rng(0), {}
    for name in ("nobody", "somebody"):
        image = frame.image.copy()
        if name == "somebody":
            height, width = image.shape[:2]
            own = image[height // 2 + 14 : height - 14, width // 2 + 28 : width - 28]
            own[:] = own[::-1, :, ::-1] // 2 + np.array([120, 0, 60], np.uint8)
        noisy = [(image + random.normal(0, 2, image.shape)).clip(0, 255).astype(np.uint8) for _ in range(6)]
        found[name] = [replace(frame, image=one) for one in noisy]
    return found


def run(engine: Engine, frames: list[Frame], tokenizer: str, scene: Scene | None) -> list[FrameResult]:
    """Results of a stream with a frame per second."""
    kind = kind_of(tokenizer)
    # At its usual target recall leaves so much as it was that a zone may be unknown.
    options = {"target": 0.999} if tokenizer == "recall" else {}
    state = StreamState("yard", kind, kind.open(options, StreamNeeds()), scene=scene)
    results: list[FrameResult] = []
    with Ledger(open_meter("none", "cpu", 1.0)) as ledger:
        for number, frame in enumerate(frames):
            timed = replace(frame, times=FrameTimes(pts_s=float(number)))
            results += state.take_in(engine.submit_parts([state.part([timed])]), 0.0, ledger)[0]
    return results


@pytest.fixture(scope="module")
def zones(engine: Engine, scenes: dict[str, list[Frame]]) -> Zones:
    examples = {
        name: examples_of(CORNER, frames[:3], patches_of(engine.model, frames[:3]), 14)
        for name, frames in scenes.items()
    }
    made = learned("corner", CORNER, examples)
    return Zones(engine.model.name, seen_as(engine.model.input), {"corner": made})


def test_what_nobody_asked_for_is_not_in_the_result(engine: Engine, scenes: dict[str, list[Frame]]) -> None:
    (result,) = run(engine, scenes["nobody"][:1], "full", Scene.of(engine.model, False, None))
    assert not {"changed", "zones"} & set(result.to_dict())


@pytest.mark.parametrize("tokenizer", ["full", "recall"])
def test_a_thing_that_comes_is_boxed_and_its_zone_says_so(
    engine: Engine, scenes: dict[str, list[Frame]], zones: Zones, tokenizer: str
) -> None:
    frames = [*scenes["nobody"], *scenes["nobody"], *scenes["somebody"][3:4]]
    results = [
        result.to_dict() for result in run(engine, frames, tokenizer, Scene.of(engine.model, True, zones))
    ]
    # At first nothing is usual, and so nothing is said of what changed.
    assert "changed" not in results[0]
    assert results[-2]["changed"] == []
    assert {result["zones"]["corner"]["state"] for result in results[:-1]} == {"nobody"}
    assert results[-1]["zones"]["corner"]["state"] == "somebody"
    box = max(results[-1]["changed"], key=lambda box: box["score"])
    assert box["name"] == "changed"
    assert 0.4 < box["x"] < box["x"] + box["w"] <= 1
    assert 0.4 < box["y"] < box["y"] + box["h"] <= 1


@pytest.mark.parametrize("tokenizer", ["full", "recall"])
def test_a_thing_that_comes_gets_the_name_of_boxes_drawn_around_it_and_another_gets_none(
    engine: Engine, scenes: dict[str, list[Frame]], tokenizer: str
) -> None:
    height, width = scenes["nobody"][0].image.shape[:2]
    around_it = Box(0.5 + 28 / width, 0.5 + 14 / height, 0.5 - 56 / width, 0.5 - 28 / height, "thing", 1.0)
    drawn = scenes["somebody"][:3]
    classes = naming.learned(engine.model, drawn, naming.values_of(engine.model, drawn), [[around_it]] * 3)
    strange = scenes["nobody"][5].image.copy()
    strange[-98:-28, -98:-28] = np.random.default_rng(1).integers(0, 255, (70, 70, 3), np.uint8)
    still = [*scenes["nobody"], *scenes["nobody"]]
    for thing, name in ((scenes["somebody"][3], "thing"), (replace(still[0], image=strange), "unknown")):
        scene = Scene.of(engine.model, False, None, classes)
        results = run(engine, [*still, thing, thing], tokenizer, scene)
        for result in results[-2:]:
            assert result.changed
            assert max(result.changed, key=lambda box: box.w * box.h).name == name
        assert results[-3].changed == []


def test_a_stateful_tokenizer_is_told_that_somebody_looks_at_all_positions(
    engine: Engine, scenes: dict[str, list[Frame]]
) -> None:
    kind = kind_of("recall")
    for scene, looks in ((None, False), (Scene.of(engine.model, True, None), True)):
        state = StreamState("yard", kind, kind.open({}, StreamNeeds()), scene=scene)
        part = state.part(scenes["nobody"][:1])
        assert isinstance(part.tokenizer, StatefulTokenizer)
        assert (part.tokenizer.everywhere, part.patches, part.values) == (looks, looks, False)


def test_classes_of_another_input_are_refused(engine: Engine) -> None:
    with pytest.raises(UsageError, match="learned with the model a-model and cannot be told by"):
        Scene.of(engine.model, True, None, a_classes())


def test_a_model_without_patches_is_refused() -> None:
    with pytest.raises(UsageError, match="'null' has no patches to compare"):
        Scene.of(load_model("null"), True, None)


def test_zones_of_another_input_are_refused(engine: Engine, zones: Zones) -> None:
    other = engine.model.inputs.spec(engine.model.name, "native", "448")
    with pytest.raises(UsageError, match="cannot be told by 448x448 native"):
        Scene.of(engine.model, False, zones, spec=other)
