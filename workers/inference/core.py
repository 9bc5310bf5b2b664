"""All that `Inference` does, without Ray: takes frames of any stream, gives durable results."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

import torch

from pipeline.energy import Meter, open_meter
from pipeline.engine import Engine
from pipeline.errors import ModelError, UsageError
from pipeline.first_passes import warm_up
from pipeline.frame import Frame
from pipeline.models import resolve_device
from pipeline.results import Energy
from vocab.lazy_client import LazyClient
from vocab.window import WindowOptions
from workers.contract.messages import BatchDone, FrameBatch, ModelFacts, TokenSettings
from workers.contract.result_log import ResultLog
from workers.inference.batcher import Batcher
from workers.inference.failures import first_line
from workers.inference.load import Load
from workers.inference.metering import Figures, MeteredSpan, Metering, OwnMetering, SharedMetering
from workers.inference.models import Models
from workers.inference.moments import Moments, shown_of
from workers.inference.questions import SINGLE_KEY, Questions
from workers.inference.queue import Request
from workers.inference.sequencer import Sequencer
from workers.inference.sharing import Sharing
from workers.inference.streams import Streams
from workers.inference.texts import Texts
from workers.inference.writer import ResultWriter
from workers.settings.budget import Budget
from workers.settings.schema import ServiceSettings
from workers.telemetry.opening import open_tracing

P = ParamSpec("P")
T = TypeVar("T")
# Takes spans to the ledger of a device, by the `method` and the `device_id` of its meter.
OpenExchange = Callable[[str, str | None], Callable[[Sequence[MeteredSpan]], Figures]]

_LOG = logging.getLogger("vwt.inference")
_PREPARING_THREADS = 4


class InferenceCore:
    """One replica's work. Its async methods are for one event loop, as those of its `questions` are.

    Args:
        settings: of the service; `redis` is a URL.
        where: names this replica in the streams' status.
        open_exchange: reaches the ledger of a device that replicas share.

    Raises:
        UsageError: a meter asked for by name cannot be had here, or what a budget is counted by.
    """

    def __init__(
        self, settings: ServiceSettings, where: Mapping[str, Any], open_exchange: OpenExchange
    ) -> None:
        if settings.redis is None:
            raise UsageError("the service has no Redis URL; `vwt serve` gives one")
        own = settings.inference
        self._redis = LazyClient(settings.redis)
        self._kept = settings.kept_results
        device = resolve_device("cuda" if own.num_gpus else "cpu")
        if device.type == "cpu":
            # What Ray has set aside for this replica, however many cores the machine has.
            torch.set_num_threads(max(1, math.floor(own.num_cpus)))
        meter = open_meter(own.meter, str(device), own.watts_per_core)
        _check_budget(settings.budget, meter, device.type)
        self._sharing = Sharing(settings.budget, torch.get_num_threads())
        self._tracing = open_tracing(settings.trace, "Inference", where)
        self._moments = Moments()
        self._writer = ResultWriter(
            self._redis.get,
            settings.kept_results,
            where,
            meter.shared,
            self._tracing,
            self._sharing,
            own.embedding,
            lambda request: self._moments.keep(request.stream, shown_of(request)),
        )
        self._most = own.batch
        self._metering = _metering(meter, open_exchange, self._settle)
        # On the CPU a model may fit its precision to the first frames that it sees.
        warm_up = self._warm_up if device.type == "cuda" else None
        self._models = Models(device, own, _LOG.info, settings.model, warm_up)
        keeper = settings.keeper
        window = WindowOptions(keeper.window_fps, keeper.window_patches)
        self._streams = Streams(self._redis.get, window, recall_bytes=own.recall_bytes)
        self._batcher = Batcher(own.batch, own.batch_wait_s, self._record)
        self._preparing = ThreadPoolExecutor(_PREPARING_THREADS, thread_name_prefix="vwt-prepare")
        self.questions = Questions(
            self._models,
            self._streams,
            self._batcher,
            self._moments,
            Texts(own),
            self._preparing,
            own.embedding,
        )
        self._sequencer = Sequencer(lambda stream: self._aside(self._durable, stream))

    async def infer(self, batch: FrameBatch) -> BatchDone:
        """Predicts frames of a stream; returns when their results are durable.

        Raises:
            ModelError: the model cannot be had, or cannot run these frames.
            UsageError: the frames, the settings or the scope's words do not fit the model.
            FencedError: a newer fence was given out.
            OutOfOrderError: results before these are missing.
            StoreUnavailable: Redis cannot take them now.
            ServiceError: the replica stops.
        """
        async with self._sequencer.in_order(
            batch.stream, fence=batch.fence, first=batch.first, count=len(batch.images)
        ):
            engine = await self._models.get(batch.settings.model)
            request = await self._aside(self._prepare, batch, engine)
            self._batcher.submit(request)
        done: BatchDone = await asyncio.wrap_future(request.future)
        return done

    async def describe(self, model: str) -> ModelFacts:
        """What others need to know of a model; loads it.

        Raises:
            ModelError: there is no such model, or its weights cannot be had.
        """
        found = (await self._models.get(model)).model
        return ModelFacts(found.inputs, found.tokenizers, found.answers)

    def load(self) -> Load:
        """How much there was to do since the last call."""
        return self._batcher.load()

    def check(self) -> None:
        """Raises ServiceError when this replica cannot predict any more."""
        self._batcher.check()

    def close(self) -> None:
        """Finishes the pass under way, writes what ran, and ends all threads."""
        self._batcher.close()
        self._metering.close()
        self._writer.close()
        if self._tracing is not None:
            self._tracing.close()
        self._streams.close()
        self._models.close()
        self._preparing.shutdown()
        self._redis.close()

    async def _aside(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Does what may wait for Redis in another thread."""
        call = partial(work, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._preparing, call)

    async def _warm_up(self, engine: Engine) -> None:
        work = partial(warm_up, engine, self._most)
        try:
            await asyncio.wrap_future(self._batcher.between(work))
        except RuntimeError as error:
            # As for want of memory.
            raise ModelError(f"model '{engine.model.name}' does not run here: {first_line(error)}") from error

    def _durable(self, stream: str) -> int:
        return ResultLog(self._redis.get(), stream, self._kept).next_frame()

    def _prepare(self, batch: FrameBatch, engine: Engine) -> Request:
        frames = frames_of(batch)
        _check_size(batch.images.shape[1:3], batch.settings, engine)
        if batch.settings.history is not None:
            # From now on, and for the streams beside it, too.
            engine.model.cells = True
        guarded = self._streams.get(batch.stream, batch.settings, engine.model)
        return Request(
            stream=batch.stream,
            engine=engine,
            frames=frames,
            keys=[(batch.stream, batch.first + offset) for offset in range(len(frames))],
            guarded=guarded,
            settings=batch.settings,
            deliver=self._deliver,
            batch=batch,
        )

    def _deliver(self, request: Request) -> None:
        self._moments.show(request.stream, shown_of(request))
        self._writer.write(request)

    def _record(
        self, start_s: float, end_s: float, weights: Sequence[float], keys: Sequence[Hashable]
    ) -> Sequence[Energy]:
        energies = self._metering.record(start_s, end_s, weights, keys)
        self._sharing.metered(sum(energy.joules or 0.0 for energy in energies))
        return energies

    def _settle(self, figures: Figures) -> None:
        figures = list(figures)
        self._sharing.metered(sum(energy.joules or 0.0 for _, energy in figures))
        self._writer.settle((key, energy) for key, energy in figures if key != (SINGLE_KEY, 0))


def frames_of(batch: FrameBatch) -> list[Frame]:
    """The frames of a message, their times by this process's clock."""
    if len(batch.facts) == 0 or len(batch.facts) != len(batch.images):
        raise UsageError(f"{len(batch.images)} frames need as many facts, not {len(batch.facts)}, and some")
    now, since_epoch = time.monotonic(), time.time()
    return [
        Frame(
            times=facts.times,
            image=image,
            geometry=facts.geometry,
            # A clock that is ahead on another machine does not make a frame come from the future.
            ready_at=min(now + facts.ready_at - since_epoch, now),
            dropped=facts.dropped,
        )
        for image, facts in zip(batch.images, batch.facts, strict=True)
    ]


def _check_size(size: tuple[int, ...], settings: TokenSettings, engine: Engine) -> None:
    model = engine.model
    wanted = model.inputs.spec(model.name, settings.fit, settings.size)
    if not wanted.holds(size[1], size[0]):
        raise UsageError(
            f"frames of {size[1]}x{size[0]} do not fit model '{model.name}'; "
            f"send {wanted.width}x{wanted.height}{wanted.or_less}".rstrip(",")
        )


def _check_budget(budget: Budget | None, meter: Meter, device: str) -> None:
    if budget is None:
        return
    if budget.unit == "watts" and not meter.shared:
        raise UsageError(
            f"a budget of watts wants a counter, and here is none ({meter.describe()}); give gflops or cores"
        )
    if budget.unit == "cores" and device != "cpu":
        raise UsageError("a budget of cores is for inference on the CPU; give gflops or watts")


def _metering(meter: Meter, open_exchange: OpenExchange, tell: Callable[[Figures], None]) -> Metering:
    """Leaves a shared counter to the one ledger of its device."""
    if not meter.shared:
        return OwnMetering(meter)
    meter.close()
    return SharedMetering(meter.method, open_exchange(meter.method, meter.device_id), tell)
