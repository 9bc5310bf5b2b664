"""The models a replica has loaded."""

from __future__ import annotations

import asyncio
import gc
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import torch

from pipeline.calibrating import calibrate
from pipeline.defaults import DEFAULT_MODEL
from pipeline.engine import Engine
from pipeline.errors import ModelError
from pipeline.models import load_model
from pipeline.models.elsewhere import is_elsewhere
from workers.settings.schema import PUBLISHED, InferenceSettings


class Models:
    """Loads models when they are asked for, one at a time. For one event loop.

    Args:
        device: where they run.
        settings: which weights, names and labels they have, what they compute in, and how many are kept; the
            one not used for longest goes.
        on_notice: told what was chosen.
        warm_up: awaited with the engine of a model before anybody gets it.
        default: what streams run on that name none; it may be of the model hub or a folder as it is, others
            only where `settings` names their weights.
    """

    def __init__(
        self,
        device: torch.device,
        settings: InferenceSettings,
        on_notice: Callable[[str], None],
        default: str = DEFAULT_MODEL,
        warm_up: Callable[[Engine], Awaitable[None]] | None = None,
    ) -> None:
        self._warm_up = warm_up
        self._device = device
        self._settings = settings
        self._on_notice = on_notice
        self._default = default
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
            if self._warm_up is not None:
                await self._warm_up(engine)
        finally:
            del self._loading[name]
        self._ready[name] = engine
        if len(self._ready) > self._settings.max_models:
            self._ready.popitem(last=False)
            gc.collect()
            if self._device.type == "cuda":
                # What it held would stay set aside for tensors of this process, and replicas share the card.
                torch.cuda.empty_cache()
        return engine

    def _make(self, name: str) -> Engine:
        settings = self._settings
        weights = settings.weights.get(name)
        if is_elsewhere(name) and weights is None and name != self._default:
            # Who may add streams may not thereby choose what is downloaded, or which folders are read.
            raise ModelError(
                f"model '{name}' is not one of this service's; whoever runs it can allow it with the setting "
                f'inference.weights: {{"{name}": "{PUBLISHED}"}}, or choose it with --model'
            )
        model = load_model(
            name,
            weights if weights != PUBLISHED else None,
            self._device,
            # Which streams keep a history is not known yet; results have it where the settings say so.
            embedding=True,
            min_score=settings.min_score,
            precision=settings.precision,
            runtime=settings.runtime,
            on_notice=lambda notice: self._on_notice(f"{name}: {notice}"),
            fitted_to=str(settings.calibrate or ""),
            names=settings.names.get(name),
            labels=settings.labels.get(name),
        )
        if settings.calibrate is not None:
            calibrate(model, str(settings.calibrate))
        return Engine(model)
