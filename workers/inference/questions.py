"""What a replica is asked beside the frames of streams: single images, and what is to be seen in a frame."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from typing import Any

from pipeline.boxes import Box
from pipeline.engine import Engine
from pipeline.errors import UsageError
from pipeline.frame import Frame, FrameTimes
from pipeline.history import Wanted
from pipeline.looking import Part, wanted
from pipeline.scene.polygon import Point, Polygon
from pipeline.scene.scene import Scene
from workers.contract.messages import BoxExample, Example, TokenSettings
from workers.inference.batcher import Batcher
from workers.inference.image import ImageReader
from workers.inference.looks import box_request, zone_request
from workers.inference.metering import LATER
from workers.inference.models import Models
from workers.inference.moments import Moments
from workers.inference.queue import Request
from workers.inference.streams import Streams
from workers.inference.texts import Texts
from workers.inference.writer import results_of

# Their id in results, and a key of their own that no stream can have.
_SINGLE, SINGLE_KEY = "frames", "/frames"


class Questions:
    """Answers, of which nothing is stored. Its async methods are for one event loop.

    Args:
        models: of the replica.
        streams: gives a single image its tokenizer.
        batcher: runs what has to be run.
        moments: frames that were just shown.
        texts: what texts say.
        preparing: where images are decoded.
        embedding: whether results of single images have theirs.
    """

    def __init__(
        self,
        models: Models,
        streams: Streams,
        batcher: Batcher,
        moments: Moments,
        texts: Texts,
        preparing: Executor,
        embedding: bool,
    ) -> None:
        self._models = models
        self._streams = streams
        self._batcher = batcher
        self._moments = moments
        self._texts = texts
        self._preparing = preparing
        self._embedding = embedding
        self._read_image = ImageReader()

    async def predict(self, image: bytes, settings: TokenSettings) -> dict[str, Any]:
        """The result of a single image, as `FrameResult.to_dict` gives it.

        Args:
            image: of a JPEG, PNG, WebP or BMP file.
            settings: how to run it.

        Raises:
            UsageError: it cannot be decoded.
            ModelError, UsageError, StoreUnavailable, ServiceError: see `InferenceCore.infer`.
        """
        result: dict[str, Any] = await self._single(image, settings, partial(_answer_single, self._embedding))
        return result

    async def look(self, image: bytes, settings: TokenSettings, box: str | None) -> Wanted:
        """What is looked for by a picture among what a model saw.

        Args:
            image: of a JPEG, PNG, WebP or BMP file.
            settings: how to run it.
            box: the part of it that counts, see `Part.parse`; None for all of it.

        Raises:
            UsageError: it cannot be decoded, the box is none, or the model has nothing to compare.
            ModelError, ServiceError: see `InferenceCore.infer`.
        """
        part = None if box is None else Part.parse(box)
        model = (await self._models.get(settings.model)).model
        model.cells = True
        scene = None
        if part is not None and part.may_be_thing and model.patch_size is not None:
            # Without anything to tell: it has what attention took from patches asked for.
            scene = Scene(model.patch_size, changed=False, zones=None, values=True)
        deliver = partial(_answer_look, part, model.patch_size)
        found: Wanted = await self._single(image, settings, deliver, scene)
        return found

    async def text(self, text: str, settings: TokenSettings) -> Wanted:
        """What is looked for by a text among what a model saw, see `Texts.wanted`."""
        # A tower is loaded with the first: nothing else may wait for that.
        return await asyncio.to_thread(self._texts.wanted, text, settings.model)

    async def example(self, stream: str, polygon: Sequence[Point], frame: int | None) -> Example:
        """What a zone looks like in a frame of a stream, run in full.

        Args:
            stream: its id; one whose frames come to this replica.
            polygon: corners in 0..1 of the source picture.
            frame: number of one that was just shown; the next one where that is gone, or for None.

        Raises:
            UsageError: it is no polygon, the model has no patches or sees nothing of it.
            ServiceError: no frame came in time, or see `InferenceCore.infer`.
        """
        place = Polygon.of(polygon)
        shown = self._moments.at(stream, frame) or await self._moments.next(stream)
        found: Example = await self._looked(zone_request(shown, place, SINGLE_KEY))
        return found

    async def box_example(
        self, stream: str, sides: Sequence[float], name: str, frame: int | None
    ) -> BoxExample:
        """What a drawn box looks like in a frame of a stream, run in full.

        Args:
            stream: see `example`.
            sides: x, y, w, h in 0..1 of the source picture.
            name: of what is in it, for errors.
            frame: number of one that was just shown, or is held; the next one for None.

        Raises:
            UsageError: the frame is gone, or see `example`.
            ServiceError: see `example`.
        """
        x, y, w, h = sides
        shown = await self._moments.next(stream) if frame is None else self._moments.drawn_in(stream, frame)
        box = Box(x, y, w, h, name, 1.0)
        found: BoxExample = await self._looked(box_request(shown, box, SINGLE_KEY))
        return found

    def hold(self, stream: str, frame: int) -> None:
        """Keeps a frame that was just shown, so that it can be drawn in, see `Moments.drawn_in`."""
        self._moments.drawn_in(stream, frame)

    async def _looked(self, request: Request) -> Any:
        self._batcher.submit(request)
        return await asyncio.wrap_future(request.future)

    async def _single(
        self,
        image: bytes,
        settings: TokenSettings,
        deliver: Callable[[Request], None],
        scene: Scene | None = None,
    ) -> Any:
        engine = await self._models.get(settings.model)
        prepare = partial(self._prepare, image, settings, engine, deliver)
        request = await asyncio.get_running_loop().run_in_executor(self._preparing, prepare)
        request.guarded.scene = scene
        return await self._looked(request)

    def _prepare(
        self, image: bytes, settings: TokenSettings, engine: Engine, deliver: Callable[[Request], None]
    ) -> Request:
        started = time.monotonic()
        spec = engine.model.inputs.spec(settings.model, settings.fit, settings.size)
        pixels, geometry = self._read_image(image, spec)
        ready = time.monotonic()
        times = FrameTimes(pts_s=None, decode_ms=(ready - started) * 1e3)
        frame = Frame(times, pixels, geometry, ready_at=ready)
        guarded = self._streams.get(None, settings, engine.model)
        return Request(
            stream=SINGLE_KEY,
            engine=engine,
            frames=[frame],
            keys=[(SINGLE_KEY, 0)],
            guarded=guarded,
            settings=settings,
            deliver=deliver,
        )


def _answer_single(embedding: bool, request: Request) -> None:
    (result,) = results_of(request, _SINGLE, 0, embedding)
    if result.energy.reason == LATER:
        reason = "the counter is read beside inference: a single image is answered before its figure is known"
        result = replace(result, energy=replace(result.energy, reason=reason))
    request.future.set_result(result.to_dict())


def _answer_look(part: Part | None, patch_size: int | None, request: Request) -> None:
    (ran,) = request.ran
    try:
        request.future.set_result(wanted(ran.outputs[0], ran.frames[0].geometry, part, patch_size))
    except UsageError as error:
        request.fail(error)
