"""What a zone looks like just now: the frame that is shown, or the next, is run once more in full."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Hashable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial

from pipeline.engine import Engine
from pipeline.errors import ServiceError, UsageError
from pipeline.frame import Frame
from pipeline.guard.guarded import Guarded
from pipeline.guard.promise import Watch
from pipeline.scene.learning import examples_of
from pipeline.scene.polygon import Polygon
from pipeline.scene.scene import Scene, seen_as
from pipeline.tokenizers.registry import kind_of
from pipeline.tokenizers.stream import StreamNeeds
from workers.contract.messages import TokenSettings, ZoneExample
from workers.inference.queue import Request

# A stream that gives a frame less often is not one that somebody can click along with.
_WITHIN_S = 8.0
# What was shown is kept for so long, and so much of all streams together.
_KEPT_S = 10.0
_KEPT_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A frame of a stream, and how it runs.

    Attributes:
        frame: as the model takes it.
        number: of the frame.
        engine: runs it.
        settings: that it came with.
    """

    frame: Frame
    number: int
    engine: Engine
    settings: TokenSettings


class Moments:
    """Gives frames of streams that were shown lately, or the next that ran; frames come from any thread.

    Args:
        within_s: how long the next is waited for.
        kept_bytes: of what was shown.
    """

    def __init__(self, within_s: float = _WITHIN_S, kept_bytes: int = _KEPT_BYTES) -> None:
        self._within_s = within_s
        self._kept_bytes = kept_bytes
        # By stream and number, oldest first, with when it was shown.
        self._kept: dict[tuple[str, int], tuple[float, Shown]] = {}
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Future[Shown]]] = {}

    def keep(self, stream: str, shown: Shown) -> None:
        """Keeps a frame that somebody gets to see."""
        # Else all frames of its message would be kept.
        own = replace(shown, frame=replace(shown.frame, image=shown.frame.image.copy()))
        with self._lock:
            self._kept[stream, shown.number] = (time.monotonic(), own)
            while sum(one.frame.image.nbytes for _, one in self._kept.values()) > self._kept_bytes:
                del self._kept[next(iter(self._kept))]

    def at(self, stream: str, number: int | None) -> Shown | None:
        """A frame that was shown; None where it is not at hand any more."""
        oldest = time.monotonic() - _KEPT_S
        with self._lock:
            # Numbers begin anew where another stream gets the name.
            self._kept = {key: one for key, one in self._kept.items() if one[0] > oldest}
            found = None if number is None else self._kept.get((stream, number))
        return None if found is None else found[1]

    async def next(self, stream: str) -> Shown:
        """The next frame of a stream.

        Raises:
            ServiceError: none came in time.
        """
        future: Future[Shown] = Future()
        with self._lock:
            self._waiting.setdefault(stream, []).append(future)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._within_s)
        except TimeoutError:
            raise ServiceError(
                f"no frame of {stream} came within {self._within_s:g} s; see the state of the stream"
            ) from None
        finally:
            self._leave(stream, future)

    def show(self, stream: str, shown: Shown) -> None:
        """Gives a frame to who waits for one of its stream."""
        with self._lock:
            waiting = self._waiting.pop(stream, ())
        for future in waiting:
            # Who waits may have gone just now.
            if future.set_running_or_notify_cancel():
                future.set_result(shown)

    def _leave(self, stream: str, future: Future[Shown]) -> None:
        with self._lock:
            left = [one for one in self._waiting.pop(stream, ()) if one is not future]
            if left:
                self._waiting[stream] = left


def shown_of(request: Request) -> Shown:
    """The last frame of a message that ran."""
    assert request.batch is not None
    last = request.batch.first + len(request.frames) - 1
    return Shown(request.frames[-1], last, request.engine, request.settings)


def request_for(shown: Shown, polygon: Polygon, key: str) -> Request:
    """What runs a frame in full, as `vwt zones learn` does, for a `ZoneExample`.

    Args:
        shown: the frame.
        polygon: of the zone.
        key: whose turn it takes, as one of the single images.

    Raises:
        UsageError: the model has no patches.
    """
    model, full = shown.engine.model, kind_of("full")
    if model.patch_size is None:
        raise UsageError(f"model '{model.name}' has no patches to compare; zones want a Vision Transformer")
    # A scene without anything to tell: it has the frame's patches asked for.
    scene = Scene(model.patch_size, changed=False, zones=None)
    keys: list[Hashable] = [(key, 0)]
    return Request(
        stream=key,
        engine=shown.engine,
        frames=[shown.frame],
        keys=keys,
        guarded=Guarded(full, {}, full.open({}, StreamNeeds(None)), Watch(), scene),
        settings=shown.settings,
        deliver=partial(_answer, shown, polygon, model.patch_size),
    )


def _answer(shown: Shown, polygon: Polygon, patch_size: int, request: Request) -> None:
    (ran,) = request.ran
    (patches,) = (output.patches for output in ran.outputs)
    assert patches is not None
    try:
        (vector,) = examples_of(polygon, ran.frames, [patches], patch_size)
    except UsageError as error:
        request.fail(error)
        return
    model, settings = shown.engine.model, shown.settings
    seen = seen_as(model.inputs.spec(model.name, settings.fit, settings.size))
    request.future.set_result(ZoneExample(model.name, seen, shown.number, vector))
