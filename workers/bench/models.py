"""The models of a benchmark: the one all are held against, the one that tokenizers run on, and plain ones."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from pipeline.calibrating import calibrate
from pipeline.clip import Clip
from pipeline.engine import Engine
from pipeline.errors import UsageError
from pipeline.models import Model, PackedModel, load_model
from pipeline.runtimes import AUTO, BF16, FP32, INT8
from pipeline.stacking import stacks
from pipeline.tokenizers.full import FullTokenizer
from workers.bench.arms import Arm, full_arm
from workers.bench.options import BenchOptions

# What anybody could do instead of dropping tokens: compute all of them in fewer bits.
_PLAIN = (BF16, INT8)


class BenchModels:
    """Loads models as `vwt bench` was asked to.

    Args:
        options: of the benchmark.
        device: where they run.
        say: told what was chosen.

    Attributes:
        reference: in float32 in torch.
        own: what tokenizers and controls run on.

    Raises:
        ModelError: the model cannot be had.
        UsageError: it makes nothing that could be compared, or does not take the fit, size or precision.
    """

    def __init__(self, options: BenchOptions, device: torch.device, say: Callable[[str], None]) -> None:
        self._options = options
        self._device = device
        self._say = say
        self.reference = self._load(FP32, "torch" if device.type == "cpu" else AUTO)
        if not self.reference.needs_pixels:
            raise UsageError(f"model '{options.model}' answers nothing that could be compared; name another")
        same = options.precision == FP32 and options.runtime in (AUTO, "torch")
        self.own = self.reference if same else self._load(options.precision, options.runtime)
        if options.calibrate is not None:
            calibrate(self.own, options.calibrate)

    def full_arms(self, clip: Clip) -> list[Arm]:
        """Plain models in what else can be had; int8 is fitted to the first frames of the clip, which are
        not judged."""
        arms = []
        if self.own is not self.reference:
            _show(self.own, clip)
            arms.append(full_arm(Engine(self.own), self.own.computed.precision))
        if self._device.type != "cpu" or not isinstance(self.reference, PackedModel):
            return arms
        for precision in _PLAIN:
            if precision == self.own.computed.precision:
                continue
            with _nothing_kept():
                plain = self._load(precision, AUTO)
                _show(plain, clip)
            if plain.computed.precision == precision:
                arms.append(full_arm(Engine(plain), precision))
        return arms

    def _load(self, precision: str, runtime: str) -> Model:
        asked = self._options
        return load_model(
            asked.model,
            asked.weights,
            self._device,
            embedding=True,
            min_score=asked.min_score,
            fit=asked.fit,
            size=asked.size,
            precision=precision,
            runtime=runtime,
            on_notice=self._say,
        )


@torch.inference_mode()
def _show(model: Model, clip: Clip) -> None:
    """Lets a model that waits for frames decide on the first ones of a clip."""
    wanted = model.frames_wanted
    if wanted:
        frames = (clip.first or clip.sampled)[:: max(len(clip.first) // wanted, 1)][:wanted]
        _, images = Engine(model).plan(stacks([(frames, FullTokenizer())], model.patch_size))
        model.calibrate(images)


@contextmanager
def _nothing_kept() -> Iterator[None]:
    """Quantized models are neither taken from the cache nor put there: they would be another clip's."""
    before = os.environ.get("XDG_CACHE_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        try:
            yield
        finally:
            del os.environ["XDG_CACHE_HOME"]
            if before is not None:
                os.environ["XDG_CACHE_HOME"] = before
