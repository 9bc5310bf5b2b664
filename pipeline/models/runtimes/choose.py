"""Which runtime a model gets: the one that was asked for, or the fastest that stays true to float32."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from pipeline.models.encoder import PackedEncoder
from pipeline.models.positions import Placed
from pipeline.models.runtimes.base import Blocks, OnNotice, Runtime
from pipeline.models.runtimes.calibration import Calibration, Images, floor, percentile_5
from pipeline.models.runtimes.torch_runtime import open_torch
from pipeline.runtimes import (
    AUTO,
    FP32,
    INT8,
    INT8_OPENING,
    RUNTIMES,
    Computed,
    Kind,
    UnavailableError,
    candidates,
)

# What `auto` keeps: the 5th percentile of the cosine between pooled features and those of float32.
_COSINE = 0.999
# And it changes nothing for less than this share of the time.
_WORTH = 0.95
# Frames that it judges by.
_FRAMES = 4


def choose(
    encoder: PackedEncoder, precision: str, runtime: str, on_notice: OnNotice, fitted_to: str
) -> Calibration | None:
    """Gives an encoder the runtime that was asked for, or says what it takes to find out.

    Args:
        encoder: of an adapted model whose blocks are given away.
        precision, runtime: as asked for.
        on_notice: told once what was chosen where that was left open, or what cannot be had.
        fitted_to: see `load_model`.

    Returns:
        What decides once it has seen frames; None where nothing is left to decide.
    """
    blocks = Blocks.of(encoder.model, encoder.positions.between is not None)
    try:
        if precision == AUTO:
            return Fastest(encoder, blocks, runtime, on_notice)
        if precision == INT8:
            return _int8(encoder, blocks, on_notice, fitted_to)
        encoder.runtime = open_asked(blocks, precision, runtime, on_notice)
    finally:
        # They are the runtime's now.
        encoder.model.blocks = nn.ModuleList()
    return None


def choose_on_gpu(encoder: PackedEncoder, runtime: str, on_notice: OnNotice) -> None:
    """Gives an encoder on a GPU the runtime that was asked for, in the type that it has.

    Args:
        encoder: of an adapted model; it keeps its runtime where the other cannot be had.
        runtime: a name.
        on_notice: told why it cannot.
    """
    before = encoder.runtime.computed
    assert before.precision is not None, "models on a GPU are of a type that has a name"
    blocks = Blocks.of(encoder.model, encoder.positions.between is not None)
    try:
        encoder.runtime = RUNTIMES[runtime].open(blocks, before.precision)
    except UnavailableError as reason:
        on_notice(f"{before.precision} in {runtime} cannot be had ({reason}): computing in {said(before)}")


def _int8(encoder: PackedEncoder, blocks: Blocks, on_notice: OnNotice, fitted_to: str) -> Calibration | None:
    try:
        opening: Calibration | None = INT8_OPENING.load()(encoder, blocks, on_notice, fitted_to)
    except UnavailableError as reason:
        reasons = [f"{INT8} cannot be had ({reason})"]
        encoder.runtime = _open_first(candidates(AUTO, AUTO), blocks, reasons, on_notice)
        return None
    return opening


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
    return _open_first([*wanted, *fallbacks, *candidates(FP32, "torch")], blocks, [], on_notice)


def _open_first(
    options: Sequence[tuple[Kind, str]], blocks: Blocks, reasons: list[str], on_notice: OnNotice
) -> Runtime:
    """Opens the first that can be had, and says why it is not what was asked for, where it is not."""
    for kind, one in options:
        try:
            opened = kind.open(blocks, one)
        except UnavailableError as reason:
            reasons.append(f"{one} in {kind.name} cannot be had ({reason})")
        else:
            if reasons:
                on_notice(f"{reasons[0]}: computing in {said(opened.computed)}")
            return opened
    raise AssertionError("torch computes in float32 everywhere")


class Fastest(Calibration):
    """Takes the fastest runtime that stays true; until then frames are computed in float32 in torch.

    Args:
        encoder: gets the runtime.
        blocks: of the encoder's model, taken over.
        runtime: a name, or `auto`.
        on_notice: told once what was chosen and why.
    """

    per_batch = _FRAMES

    def __init__(self, encoder: PackedEncoder, blocks: Blocks, runtime: str, on_notice: OnNotice) -> None:
        super().__init__(encoder)
        self._on_notice = on_notice
        self._reasons: list[str] = []
        options = [
            (kind, one) for kind, one in candidates(AUTO, runtime) if (kind.name, one) != ("torch", FP32)
        ]
        self._opened = self._open(options, blocks.copy())
        # Compiled now, and not when the frames are there.
        self._next = next(self._opened, None)
        self.wanted = _FRAMES if self._next is not None else 1
        encoder.runtime = open_torch(blocks, FP32)

    def decide(self, images: Images) -> None:
        """See `Calibration.decide`."""
        self.wanted = 0
        reference = self._encoder.runtime
        truth, slow_s = self._judge(images)
        while self._next is not None:
            candidate, self._next = self._next, None
            self._encoder.runtime = candidate
            features, fast_s = self._judge(images)
            cosine = percentile_5(F.cosine_similarity(features, truth, dim=-1))
            share, name = fast_s / slow_s, said(candidate.computed)
            if cosine >= _COSINE and share <= _WORTH:
                self._on_notice(
                    f"computing in {name}: {share:.2f} of the time of {said(reference.computed)}, cosine of "
                    f"{len(truth)} frames at least {floor(cosine)}{self._because()}"
                )
                return
            self._reasons.append(f"{name} takes {share:.2f} of the time at a cosine of {floor(cosine)}")
            self._next = next(self._opened, None)
        self._encoder.runtime = reference
        self._on_notice(f"computing in {said(reference.computed)}{self._because()}")

    def _judge(self, images: Images) -> tuple[torch.Tensor, float]:
        """Pooled features (frames, C), and the CPU seconds they took."""
        self._encode(Placed(images[0].images[:1], images[0].place))  # a first pass is slow
        start = time.process_time()
        return self._pooled(images), time.process_time() - start

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
