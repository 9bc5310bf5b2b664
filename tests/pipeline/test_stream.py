import time
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from pipeline.engine import BatchOutput, Engine
from pipeline.frame import Frame, FrameTimes, Geometry
from pipeline.models.plain import NullModel
from pipeline.reading import FrameOutput
from pipeline.results import Energy, FrameResult, Prediction
from pipeline.stream import StreamState
from pipeline.tokenizers import (
    FullTokenizer,
    InterTokenizer,
    IntraTokenizer,
    RecallingInterTokenizer,
    RecallTokenizer,
    Tokenizer,
)
from pipeline.tokenizers.registry import TOKENIZERS
from pipeline.tokenizers.stream import GivenWords, StreamNeeds
from vocab.words import Vocabulary

GEOMETRY = Geometry(28, 28, 28, 28, 1, 1, 0, 0)
CPU = torch.device("cpu")


def frames(count: int, **facts: object) -> list[Frame]:
    image = np.zeros((28, 28, 3), np.uint8)
    return [Frame(FrameTimes(pts_s=number / 10), image, GEOMETRY, **facts) for number in range(count)]


def words(version: int = 1) -> Vocabulary:
    return Vocabulary(torch.rand(5, 3 * 14 * 14), version)


class Given:
    """Words at the command of a test."""

    def __init__(self, wanted: int = 0) -> None:
        self.missing = wanted
        self.current: Vocabulary | None = None
        self.seen = 0

    def observe(self, frames: Sequence[Frame]) -> None:
        self.seen += len(frames)
        self.missing = max(0, self.missing - len(frames))

    def vocabulary(self) -> Vocabulary | None:
        return self.current


def opened(name: str, source: Given | GivenWords | None = None, **options: float) -> StreamState:
    """The state of a stream called gate, with a tokenizer of the registry."""
    kind = TOKENIZERS[name]
    return StreamState("gate", kind, kind.open(options, StreamNeeds(source)))


def results(state: StreamState, batch: list[Frame]) -> list[FrameResult]:
    """What comes of a batch that a real engine ran with the null model."""
    pending = Engine(NullModel(CPU)).submit_parts([state.part(batch)])
    return state.results(pending, pending.result(), time.monotonic(), [Energy()] * len(batch))


@pytest.mark.parametrize(
    ("state", "what"),
    [
        (opened("full"), FullTokenizer),
        (opened("intra", drop=0.5), IntraTokenizer),
        (opened("inter", GivenWords(words()), threshold=0.1), RecallingInterTokenizer),
        (opened("inter", GivenWords(words()), threshold=0.1, exact=True), InterTokenizer),
        (opened("recall"), RecallTokenizer),
    ],
)
def test_without_words_to_come_the_tokenizer_stays(state: StreamState, what: type[Tokenizer]) -> None:
    assert not state.learning
    assert state.batch_limit(8) == 8
    first, *others = [state.part(frames(2)).tokenizer for _ in range(3)]
    assert isinstance(first, what)
    assert others == [first] * 2


def test_frames_are_numbered_without_gaps_over_batches() -> None:
    state = opened("full")
    numbered = [result.frame for size in (3, 1, 5) for result in results(state, frames(size))]
    assert numbered == list(range(9))
    assert state.next_frame == 9


def test_frames_run_in_full_until_there_are_words_and_with_them_from_then_on() -> None:
    source = Given()
    state = opened("inter", source, threshold=0.3, exact=True)
    assert state.learning
    assert state.part(frames(2)).tokenizer.name == "full"
    source.current = words()
    tokenizer = state.part(frames(2)).tokenizer
    assert isinstance(tokenizer, InterTokenizer)
    assert tokenizer.vocabulary is source.current is state.vocabulary
    assert tokenizer.threshold == 0.3
    assert not state.learning
    assert source.seen == 4


def test_newer_words_replace_older_ones_between_batches() -> None:
    source = Given()
    state = opened("inter", source)
    source.current = words(1)
    first = state.part(frames(1)).tokenizer
    assert state.part(frames(1)).tokenizer is first
    source.current = words(2)
    assert state.part(frames(1)).tokenizer.vocab_version == 2


@pytest.mark.parametrize("batch", [1, 4, 8, 16])
def test_the_warm_up_ends_at_the_same_frame_for_any_size_of_batch(batch: int) -> None:
    source = Given(wanted=10)
    state = opened("inter", source)
    while source.missing:
        taken = frames(state.batch_limit(batch))
        assert 1 <= len(taken) <= batch
        state.part(taken)
    assert source.seen == 10
    assert state.batch_limit(batch) == batch


def test_a_result_carries_the_facts_of_its_frame() -> None:
    state = opened("full")
    times = FrameTimes(pts_s=1.5, captured_at=1700000000.0, decode_ms=4.0)
    image = np.zeros((28, 28, 3), np.uint8)
    frame = Frame(times, image, GEOMETRY, ready_at=100.0, dropped={"late": 2})
    pending = Engine(NullModel(CPU)).submit([frame], FullTokenizer())
    output = FrameOutput(Prediction("none"), 256, 130, None, 1)
    energy = Energy(0.5, 0.4, "nvml")
    (result,) = state.results(pending, BatchOutput([output], 100.5, 100.75), 100.25, [energy])
    assert (result.stream, result.model, result.tokenizer) == ("gate", "null", "full")
    assert (result.times, result.dropped) == (times, {"late": 2})
    assert (result.tokens_full, result.tokens_kept) == (256, 130)
    assert (result.queue_ms, result.infer_ms) == (250.0, 250.0)
    assert result.energy is energy


def test_a_warming_up_stream_says_what_was_asked_for_and_that_no_words_were_used() -> None:
    source = Given()
    state = opened("inter", source, exact=True)
    (before,) = results(state, frames(1))
    source.current = words(3)
    (after,) = results(state, frames(1))
    assert (before.tokenizer, before.vocab_version) == ("inter", None)
    assert (after.tokenizer, after.vocab_version) == ("inter", 3)
