"""The models a replica has loaded."""

from __future__ import annotations

import asyncio
import gc
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

from pipeline.calibrating import calibrate
from pipeline.engine import Engine
from pipeline.models import load_model
from workers.settings.schema import InferenceSettings


class Models:
    """Loads models when they are asked for, one at a time. For one event loop.

    Args:
        device: where they run.
        settings: which weights they have, what they compute in, and how many are kept; the one not used for
            longest goes.
        on_notice: told what was chosen.
    """

    def __init__(
        self, device: torch.device, settings: InferenceSettings, on_notice: Callable[[str], None]
    ) -> None:
        self._device = device
        self._settings = settings
        self._on_notice = on_notice
        self._ready: OrderedDict[str, Engine] = OrderedDict()
        self._loading: dict[str, asyncio.Future[Engine]] = {}
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="vwt-load")

    async def get(self, name: str) -> Engine:
        """The engine of a model; many may ask for one at once.

        Raises:
            ModelError: there is no such model, or its weights cannot be had.
        """
        if name in self._ready:
            self._ready.move_to_end(name)
            return self._ready[name]
        loading = self._loading.get(name)
        if loading is None:
            loading = asyncio.ensure_future(self._load(name))
            self._loading[name] = loading
        # Who stops waiting does not stop it for the others.
        return await asyncio.shield(loading)

    def close(self) -> None:
        """Takes no more; a model that is being loaded is waited for."""
        self._loader.shutdown(cancel_futures=True)

    async def _load(self, name: str) -> Engine:
        try:
            loop = asyncio.get_running_loop()
            engine = await loop.run_in_executor(self._loader, self._make, name)
        finally:
            del self._loading[name]
        self._ready[name] = engine
        if len(self._ready) > self._settings.max_models:
            self._ready.popitem(last=False)
            gc.collect()
        return engine

    def _make(self, name: str) -> Engine:
        settings = self._settings
        model = load_model(
            name,
            settings.weights.get(name),
            self._device,
            embedding=settings.embedding,
            min_score=settings.min_score,
            precision=settings.precision,
            runtime=settings.runtime,
            on_notice=lambda notice: self._on_notice(f"{name}: {notice}"),
            fitted_to=str(settings.calibrate or ""),
        )
        if settings.calibrate is not None:
            calibrate(model, str(settings.calibrate))
        return Engine(model)
