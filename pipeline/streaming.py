"""One source through one model, for code of your own: results as they come."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from pipeline.defaults import (
    DEFAULT_BATCH,
    DEFAULT_MIN_SCORE,
    DEFAULT_MODEL,
    DEFAULT_PRECISION,
    DEFAULT_WARMUP_FRAMES,
    DEFAULT_WORDS,
)
from pipeline.energy import Ledger, open_meter
from pipeline.engine import Engine, PendingBatch
from pipeline.errors import UsageError
from pipeline.fit import Size
from pipeline.in_flight import InFlight
from pipeline.models import Model, load_model, resolve_device
from pipeline.preprocess import Preprocessor
from pipeline.reader import FrameReader, Policy
from pipeline.results import FrameResult
from pipeline.runtimes import AUTO
from pipeline.settling import Settling
from pipeline.sources import Notice, OnNotice, Source, SourceOptions, open_source, parse_source
from pipeline.stream import StreamState
from pipeline.tokenizers.asked import check_taken
from pipeline.tokenizers.registry import TOKENIZERS, Value, kind_of
from pipeline.tokenizers.stream import GivenWords, StreamNeeds, WordSource
from pipeline.tokenizing import check_fits, first_words, kind_for
from vocab.words import Vocabulary

# How often a quiet source looks up to see whether results may leave.
_LOOK_UP_S = 0.25


def run(
    source: str | Path,
    *,
    tokenizer: str | None = None,
    model: str | Model = DEFAULT_MODEL,
    weights: str | None = None,
    names: str | Path | None = None,
    labels: str | Path | None = None,
    fit: str | None = None,
    size: Size | None = None,
    min_score: float = DEFAULT_MIN_SCORE,
    device: str = "auto",
    precision: str = DEFAULT_PRECISION,
    runtime: str = AUTO,
    fps: float | None = None,
    batch: int = DEFAULT_BATCH,
    max_frames: int | None = None,
    vocabulary: Vocabulary | None = None,
    words: int = DEFAULT_WORDS,
    warmup_frames: int = DEFAULT_WARMUP_FRAMES,
    meter: str = "auto",
    images: bool = False,
    on_notice: OnNotice = lambda _notice: None,
    **options: Value,
) -> Iterator[FrameResult]:
    """Runs a source through a model; gives one result per sampled frame, in order.

    The source is opened, and the model loaded, when the first result is asked for; closing the iterator, or
    leaving a loop over it, ends the run.

    Args:
        source: a path, rtsp(s)://, http(s)://, camera:N or sample:NAME, as `vwt run` takes it.
        tokenizer: one of `TOKENIZERS`; None for the one that suits the model.
        model: its name, or a loaded one.
        weights, names, labels, fit, size, min_score, device, precision, runtime: see `load_model`; not for a
            loaded model.
        fps: frames per second of presentation time to sample; None for every frame.
        batch: frames per batch.
        max_frames: stop after this many sampled frames.
        vocabulary: visual words for tokenizers that want them; None to learn them from the first frames.
        words, warmup_frames: how many words to learn, and from how many frames.
        meter: where joules come from, see `open_meter`.
        images: whether results carry the upright source picture as `result.image`.
        on_notice: told what happens on the way (reconnects, damaged frames); from another thread.
        options: of the tokenizer, by name.

    Raises:
        UsageError: an argument that cannot be right.
        SourceError: the source cannot be read (when results are asked for).
        ModelError: the model cannot be had, or run (when results are asked for).
    """
    if tokenizer is not None:
        kind = kind_of(tokenizer)
        for name in options.keys() - kind.options.keys():
            known = ", ".join(kind.options) or "none"
            raise UsageError(f"tokenizer {tokenizer} has no option '{name}'; its options: {known}")
        check_taken(kind, options, () if vocabulary is None else ["vocabulary"])
        kind.check(options)
    elif unplaced := [*options, *(["vocabulary"] if vocabulary is not None else [])]:
        raise UsageError(
            f"name the tokenizer that {', '.join(unplaced)} is for; use one of {', '.join(TOKENIZERS)}"
        )

    def results() -> Iterator[FrameResult]:
        with ExitStack() as stack:
            opened_source = stack.enter_context(
                closing(open_source(parse_source(str(source)), SourceOptions(fps=fps), on_notice))
            )
            loaded = model
            if isinstance(loaded, str):
                loaded = load_model(
                    loaded,
                    weights,
                    resolve_device(device),
                    fit=fit,
                    size=size,
                    min_score=min_score,
                    precision=precision,
                    runtime=runtime,
                    fitted_to=str(source),
                    names=names,
                    labels=labels,
                    on_notice=lambda message: on_notice(Notice("computed", message)),
                )
            kind = kind_for(tokenizer, loaded)
            given: WordSource | None = None
            wants_words = kind.wants_words(options)
            if wants_words and vocabulary is not None:
                check_fits(vocabulary, loaded)
                given = GivenWords(vocabulary.to(loaded.device))
            elif wants_words:
                given = first_words(loaded, words, warmup_frames, live=opened_source.info.live)
            opened = stack.enter_context(closing(kind.open(options, StreamNeeds(given))))
            state = StreamState(opened_source.info.name, kind, opened)
            opened_meter = stack.enter_context(closing(open_meter(meter, str(loaded.device))))
            ledger = stack.enter_context(Ledger(opened_meter))
            reader = _reader(opened_source, loaded, fps, batch, max_frames, images)
            stack.callback(reader.stop)
            yield from _loop(reader, Engine(loaded), state, ledger, batch)

    return results()


def _reader(
    source: Source, model: Model, fps: float | None, batch: int, max_frames: int | None, images: bool
) -> FrameReader:
    live = source.info.live
    policy: Policy = "drop-oldest" if live else "block"
    preprocessor = Preprocessor(model.input, keep_picture=images)
    if live:
        # Frames that came while all was made ready were never this run's to look at.
        source.take_dropped()
    return FrameReader(source, preprocessor, fps=fps, policy=policy, capacity=batch, max_frames=max_frames)


def _loop(
    reader: FrameReader, engine: Engine, state: StreamState, ledger: Ledger, batch: int
) -> Iterator[FrameResult]:
    settling: Settling[None] = Settling()

    def collect(started: tuple[PendingBatch, float]) -> None:
        pending, taken_at = started
        results, _ = state.take_in(pending, taken_at, ledger)
        for result, frame in zip(results, pending.frames, strict=True):
            settling.add(replace(result, image=frame.picture), None)

    def ready(everything: bool = False) -> Iterator[FrameResult]:
        settling.settle(ledger.settled())
        for result, _ in settling.ready(everything):
            yield result

    with InFlight(collect) as in_flight:
        while (frames := reader.batch(state.batch_limit(batch), wait_s=0.0, timeout=_LOOK_UP_S)) is not None:
            if frames:
                taken_at = time.monotonic()
                in_flight.add((engine.submit_parts([state.part(frames)]), taken_at), engine.depth)
            else:
                in_flight.drain()
            yield from ready()
        in_flight.drain()
        ledger.flush()
        yield from ready(everything=True)
