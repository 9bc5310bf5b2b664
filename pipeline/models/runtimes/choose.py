"""Which runtime a model gets: the one that was asked for, or the fastest that stays true to float32."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch.nn import functional as F

from pipeline.models.encoder import Features, PackedEncoder
from pipeline.models.runtimes.base import Blocks, Runtime
from pipeline.models.runtimes.torch_runtime import open_torch
from pipeline.runtimes import AUTO, FP32, Computed, Kind, UnavailableError, candidates
from pipeline.tokenizers import FullTokenizer

OnNotice = Callable[[str], None]

# What `auto` keeps: the 5th percentile of the cosine between pooled features and those of float32.
_COSINE = 0.999
_PERCENTILE = 0.05
# And it changes nothing for less than this share of the time.
_WORTH = 0.95
# Frames that it judges by.
_FRAMES = 4
# Passes that are timed, by what the process used of the cores, and the cheapest of which counts.
_PASSES = 2


def open_asked(blocks: Blocks, precision: str, runtime: str, on_notice: OnNotice) -> Runtime:
    """Opens the runtime that was asked for, or the nearest that can be had, with a notice that says why.

    Args:
        blocks: taken over.
        precision: not `auto`.
        runtime: a name, or `auto` for the fastest.
        on_notice: told at most once.
    """
    wanted = candidates(precision, runtime)
    fallbacks = [one for one in candidates(AUTO, AUTO) if one not in wanted and precision != FP32]
    reasons = []
    for kind, one in (*wanted, *fallbacks, *candidates(FP32, "torch")):
        try:
            opened = kind.open(blocks, one)
        except UnavailableError as reason:
            reasons.append(f"{one} in {kind.name} cannot be had ({reason})")
        else:
            if reasons:
                on_notice(f"{reasons[0]}: computing in {said(opened.computed)}")
            return opened
    raise AssertionError("torch computes in float32 everywhere")


class Calibration:
    """Chooses on the first frames that a model sees; until then it computes in float32 in torch.

    Args:
        encoder: gets the runtime.
        blocks: of the encoder's model, taken over.
        runtime: a name, or `auto`.
        on_notice: told once what was chosen and why.
    """

    def __init__(self, encoder: PackedEncoder, blocks: Blocks, runtime: str, on_notice: OnNotice) -> None:
        self._encoder = encoder
        self._on_notice = on_notice
        self._reasons: list[str] = []
        options = [
            (kind, one) for kind, one in candidates(AUTO, runtime) if (kind.name, one) != ("torch", FP32)
        ]
        self._opened = self._open(options, blocks.copy())
        # Compiled now, and not when the frames are there.
        self._first = next(self._opened, None)
        encoder.runtime = open_torch(blocks, FP32)
        self._images: list[torch.Tensor] = []

    def add(self, images: torch.Tensor) -> bool:
        """Takes the frames that the model is about to run on.

        Returns:
            Whether the encoder has its runtime, so that no more frames are wanted.
        """
        self._images.append(images.clone())
        frames = torch.cat(self._images)
        if self._first is not None and len(frames) < _FRAMES:
            return False
        self._choose(frames[:_FRAMES])
        return True

    def _choose(self, images: torch.Tensor) -> None:
        reference = self._encoder.runtime
        truth, slow_s = self._judge(images)
        while self._first is not None:
            candidate, self._first = self._first, None
            self._encoder.runtime = candidate
            features, fast_s = self._judge(images)
            cosine = float(F.cosine_similarity(features, truth, dim=-1).quantile(_PERCENTILE))
            share, name = fast_s / slow_s, said(candidate.computed)
            if cosine >= _COSINE and share <= _WORTH:
                self._on_notice(
                    f"computing in {name}: {share:.2f} of the time of {said(reference.computed)}, cosine of "
                    f"{len(images)} frames at least {_floor(cosine)}{self._because()}"
                )
                return
            self._reasons.append(f"{name} takes {share:.2f} of the time at a cosine of {_floor(cosine)}")
            self._first = next(self._opened, None)
        self._encoder.runtime = reference
        self._on_notice(f"computing in {said(reference.computed)}{self._because()}")

    def _judge(self, images: torch.Tensor) -> tuple[torch.Tensor, float]:
        """Pooled features (B, C) in float32, and the CPU seconds that one frame takes in full."""
        features = self._encoder.head(self._encode(images), pre_logits=True).float()
        seconds = []
        for _ in range(_PASSES):
            start = time.process_time()
            self._encode(images[:1])
            seconds.append(time.process_time() - start)
        return features, min(seconds)

    def _encode(self, images: torch.Tensor) -> Features:
        plan = FullTokenizer().plan(images, self._encoder.patch_size, self._encoder.prefix)
        return self._encoder.encode(images, plan)

    def _because(self) -> str:
        return f" ({'; '.join(self._reasons)})" if self._reasons else ""

    def _open(self, options: Sequence[tuple[Kind, str]], blocks: Blocks) -> Iterator[Runtime]:
        for kind, one in options:
            try:
                yield kind.open(blocks.copy(), one)
            except UnavailableError as reason:
                self._reasons.append(f"{one} in {kind.name} cannot be had: {reason}")


def said(computed: Computed) -> str:
    """Runtime and precision in words."""
    return f"{computed.precision} in {computed.runtime}"


def _floor(cosine: float) -> str:
    """Four decimals, rounded down so that a limit that was missed is not shown as kept."""
    return f"{int(cosine * 10_000) / 10_000:.4f}"
