"""Names from boxes that are drawn while watching, from the API to the results: real Redis, real model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.boxes import Box
from pipeline.defaults import DEFAULT_MODEL
from pipeline.engine import Engine
from pipeline.errors import UsageError
from pipeline.frame import Frame, FrameTimes
from pipeline.models import load_model
from pipeline.scene.classes import Classes
from pipeline.scene.naming import learned, values_of
from tests.vocab.servers import eventually
from tests.workers.gateway.serving import Api, Edge
from tests.workers.inference.examples import FULL, batch, clip
from tests.workers.inference.test_core import Replica, redis, results, server
from workers.contract.keys import StreamKeys
from workers.contract.messages import BoxExample, TokenSettings
from workers.contract.stream_store import StreamStore
from workers.gateway.messages import ResultView
from workers.inference.core import InferenceCore
from workers.inference.moments import _HELD, Moments, Shown
from workers.settings.schema import ServiceSettings

__all__ = ["redis", "server"]  # fixtures

PLAIN = replace(FULL, model=DEFAULT_MODEL, tokenizer="full")
SIDE = 56
# Where noise is pasted into the picture, in pixels of the model's input.
PLACES = [(140, 98), (28, 28), (126, 28), (28, 98)]


class Direct(Edge):
    """Inference in this process, in place of the one behind Ray."""

    def __init__(self, core: InferenceCore) -> None:
        super().__init__()
        self._core = core

    async def box_example(
        self,
        stream: str,
        inference: Mapping[str, Any] | None,  # noqa: ARG002
        sides: Sequence[float],
        name: str,
        frame: int | None,
    ) -> BoxExample:
        return await self._core.questions.box_example(stream, sides, name, frame)

    async def hold(self, stream: str, inference: Mapping[str, Any] | None, frame: int) -> None:  # noqa: ARG002
        self._core.questions.hold(stream, frame)


class Yard:
    """A stream of still pictures into which noise comes, the service's API and one replica of Inference."""

    def __init__(self, url: str, redis: Any) -> None:
        self.replica = Replica(url)
        self.api = Api(ServiceSettings(redis=url), Direct(self.replica.core))
        self.api.add(name="yard")
        self.redis = redis
        self._next = 0

    def sees(self, picture: Frame) -> int:
        """Has one more frame run, as somebody watches; returns its number."""
        self.redis.set(StreamKeys("yard").watched, 1)
        spec = StreamStore(self.redis).get("yard")
        number, self._next = self._next, self._next + 1
        shown = replace(picture, times=FrameTimes(pts_s=float(number)))
        asked = replace(PLAIN, classes=spec.classes)
        self.replica.infer(batch("yard", number, 1, asked, frames=[shown]))
        return number

    def shows(self, picture: Frame) -> int:
        """The same until it is painted, which pictures are twice a second."""
        first, shown = self._next, -1

        def painted() -> bool:
            nonlocal shown
            self.sees(picture)
            # Painted after its results are durable, so maybe only the one before.
            shown = int(self.redis.hget(StreamKeys("yard").preview, "frame") or -1)
            return shown >= first and self.replica.core._moments.at("yard", shown) is not None

        eventually(painted)
        return shown

    def draw(self, name: str, box: Box, frame: int | None) -> Any:
        body = {"name": name, "box": [box.x, box.y, box.w, box.h], "frame": frame}
        return self.api.http.post("/v1/streams/yard/classes/examples", json=body)

    def close(self) -> None:
        self.api.close()
        self.replica.close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, what was shown is there until it is drawn in."""
    monkeypatch.setattr("workers.inference.moments._KEPT_S", 300.0)


@pytest.fixture
def yard(server: Any, redis: Any) -> Iterator[Yard]:
    yard = Yard(server.url, redis)
    yield yard
    yard.close()


@pytest.fixture(scope="module")
def still() -> Frame:
    return clip(count=1)[0]


@pytest.fixture(scope="module")
def noisy(still: Frame) -> Callable[[int], tuple[Frame, Box]]:
    """The picture with noise at a place, and where that is."""

    def made(which: int) -> tuple[Frame, Box]:
        left, top = PLACES[which]
        image = still.image.copy()
        noise = np.random.default_rng(which).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
        image[top : top + SIDE, left : left + SIDE] = noise
        at = still.geometry
        x, y = at.to_source(left, top)
        right, bottom = at.to_source(left + SIDE, top + SIDE)
        return replace(still, image=image), Box(x, y, right - x, bottom - y, "noise", 1.0)

    return made


def test_boxes_that_were_drawn_name_what_changes_from_then_on(
    yard: Yard, still: Frame, noisy: Callable[[int], tuple[Frame, Box]]
) -> None:
    drawn = []
    for which in range(3):
        picture, box = noisy(which)
        number = yard.shows(picture)
        # Others come while it is drawn.
        yard.sees(still)
        answer = yard.draw("noise", box, number)
        assert answer.status_code == 200, answer.text
        drawn.append((picture, box))
    view = answer.json()
    assert (view["count"], view["learned"], view["needs"][:7]) == (3, True, "2 more ")
    assert [one["frame"] for one in view["boxes"]] == sorted({one["frame"] for one in view["boxes"]})

    # The same as `vwt classes learn` makes of these boxes.
    frames = [picture for picture, _ in drawn]
    model = load_model()
    expected = learned(model, frames, values_of(model, frames), [[box] for _, box in drawn])
    made = Classes.from_dict(StreamStore(yard.redis).get("yard").classes)
    assert (made.model, made.seen_as) == (expected.model, expected.seen_as)
    np.testing.assert_allclose(made.centre, expected.centre, atol=2e-3)
    assert float(made.names["noise"].mean @ expected.names["noise"].mean) > 0.999
    assert view["said_from"] == pytest.approx(expected.names["noise"].least, abs=0.02)

    for _ in range(8):
        yard.sees(still)
    picture, box = noisy(3)
    yard.sees(picture)
    told = [ResultView.model_validate(result) for result in results(yard.redis, "yard")]
    assert told[0].changed is None
    assert told[-2].changed == []
    assert told[-1].changed
    best = max(told[-1].changed, key=lambda box: box.w * box.h)
    assert best.name == "noise"
    assert abs(best.x - box.x) < 0.15

    # What is taken away is no longer said.
    yard.api.http.delete("/v1/streams/yard/classes/noise").raise_for_status()
    yard.sees(still)
    assert "changed" not in results(yard.redis, "yard")[-1]


def test_a_frame_that_is_held_can_be_drawn_in_when_others_are_gone(
    yard: Yard, noisy: Callable[[int], tuple[Frame, Box]], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, box = noisy(0)
    held = yard.shows(picture)
    yard.api.http.put(f"/v1/streams/yard/classes/frames/{held}").raise_for_status()
    other = yard.shows(picture)
    monkeypatch.setattr("workers.inference.moments._KEPT_S", 0.0)
    assert yard.draw("noise", box, held).status_code == 200
    gone = yard.draw("noise", box, other)
    assert (gone.status_code, f"frame {other} of yard is no longer at hand" in gone.json()["detail"]) == (
        422,
        True,
    )
    late = yard.api.http.put(f"/v1/streams/yard/classes/frames/{other}")
    assert late.status_code == 422


def test_of_the_frames_that_are_drawn_in_so_many_are_held(
    still: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments, engine = Moments(), Engine(load_model("null"))
    for number in range(_HELD + 2):
        moments.keep("yard", Shown(still, number, engine, PLAIN))
        moments.drawn_in("yard", number)
    # The first of those that are left is drawn in once more.
    moments.drawn_in("yard", 2)
    moments.drawn_in("yard", 0)
    monkeypatch.setattr("workers.inference.moments._KEPT_S", 0.0)
    held = [number for number in range(_HELD + 2) if moments.at("yard", number)]
    assert held == [0, 2, *range(4, _HELD + 2)]


def test_a_model_without_patches_is_refused_in_one_line(yard: Yard) -> None:
    settings = TokenSettings("null", "full", {}, "any")
    frames = clip("null", count=1)
    yard.redis.set(StreamKeys("yard").watched, 1)
    core = yard.replica.core
    with pytest.raises(UsageError, match="'null' has no patches to compare; names want") as refused:
        yard.replica.do(
            core.questions.box_example("yard", (0.1, 0.1, 0.2, 0.2), "van", None),
            core.infer(batch("yard", 0, 1, settings, frames=frames)),
        )
    assert "\n" not in str(refused.value)


def test_a_downloaded_file_names_things_on_another_stream_of_the_camera(
    yard: Yard, noisy: Callable[[int], tuple[Frame, Box]]
) -> None:
    for which in range(2):
        picture, box = noisy(which)
        yard.draw("noise", box, yard.shows(picture)).raise_for_status()
    file = yard.api.http.get("/v1/streams/yard/classes.json")
    assert 'filename="yard-classes.json"' in file.headers["Content-Disposition"]
    given = json.loads(file.text)
    assert set(given) == {"format", "model", "input", "centre", "names", "not"}
    Classes.from_dict(given)
    added = yard.api.add(name="other", classes=given)
    assert added["settings"]["classes"] == given
    (name,) = yard.api.http.get("/v1/streams/other/classes").json()["classes"]
    assert (name["name"], name["count"], name["from_file"], name["boxes"]) == ("noise", 2, True, [])
    assert name["leave_one_out"] == given["names"]["noise"]["leave_one_out"]
