"""The device thread with real models."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
import torch

from pipeline.energy import EstimateMeter, Ledger
from pipeline.engine import Engine
from pipeline.errors import ServiceError, UsageError
from pipeline.frame import Frame
from pipeline.models import NullModel, load_model
from pipeline.tokenizers import FullTokenizer, InterTokenizer, IntraTokenizer, Tokenizer
from tests.vocab.servers import eventually
from tests.workers.inference.examples import FULL, asked, clip
from vocab.words import Vocabulary
from workers.inference.batcher import Batcher
from workers.inference.queue import Request

WAIT_S = 60


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(load_model(embedding=True))


@pytest.fixture
def null() -> Engine:
    return Engine(NullModel(torch.device("cpu")))


@pytest.fixture
def batcher() -> Iterator[Callable[..., Batcher]]:
    made: list[Batcher] = []
    with Ledger(EstimateMeter()) as ledger:

        def make(batch: int = 8, wait_s: float = 0.002) -> Batcher:
            made.append(Batcher(batch, wait_s, ledger.record))
            return made[-1]

        yield make
        for one in made:
            one.close()


def deliver(request: Request) -> None:
    request.future.set_result(request)


def request(
    engine: Engine,
    stream: str,
    frames: Sequence[Frame],
    tokenizer: Callable[[], Tokenizer] = FullTokenizer,
    to: Callable[[Request], None] = deliver,
) -> Request:
    keys = [(stream, number) for number in range(len(frames))]
    return Request(
        stream=stream,
        engine=engine,
        frames=frames,
        keys=keys,
        guarded=asked(tokenizer),
        settings=FULL,
        deliver=to,
    )


class Held:
    """Keeps the device thread busy until it is let go: what comes meanwhile shares the next pass."""

    def __init__(self, batcher: Batcher, engine: Engine) -> None:
        self._go = threading.Event()
        begun = threading.Event()

        def tokenizer() -> Tokenizer:
            begun.set()
            assert self._go.wait(WAIT_S)
            return FullTokenizer()

        self.request = request(engine, "holding", clip("null")[:1], tokenizer)
        batcher.submit(self.request)
        assert begun.wait(WAIT_S)

    def let_go(self) -> None:
        self._go.set()


def refuses(batcher: Batcher, late: Request) -> bool:
    try:
        batcher.submit(late)
    except ServiceError:
        return True
    return False


def foreign() -> Tokenizer:
    """Words of another patch size than the model's: planning with them fails."""
    return InterTokenizer(Vocabulary(torch.rand(4, 3 * 16 * 16)))


def test_frames_of_several_streams_share_a_pass_and_each_gets_what_it_would_get_alone(
    batcher: Callable[..., Batcher], engine: Engine, null: Engine
) -> None:
    runs = batcher(8)
    held = Held(runs, null)
    frames = clip()[:5]
    full = request(engine, "a", frames[:2])
    intra = request(engine, "b", frames[2:5], lambda: IntraTokenizer(0.5))
    for one in (full, intra):
        runs.submit(one)
    held.let_go()

    for one, tokenizer in ((full, FullTokenizer()), (intra, IntraTokenizer(0.5))):
        (ran,) = one.future.result(WAIT_S).ran
        for frame, output in zip(ran.frames, ran.outputs, strict=True):
            (alone,) = engine.submit([frame], tokenizer).result().frames
            assert output.tokens_kept == alone.tokens_kept
            np.testing.assert_allclose(
                output.prediction.embedding, alone.prediction.embedding, rtol=1e-5, atol=1e-5
            )
    assert full.ran[0].timing is intra.ran[0].timing


def test_only_the_stream_that_makes_a_pass_fail_is_told_so(
    batcher: Callable[..., Batcher], engine: Engine, null: Engine
) -> None:
    runs = batcher(8)
    held = Held(runs, null)
    frames = clip()
    good, bad, fine = (
        request(engine, "good", frames[:2]),
        request(engine, "bad", frames[2:4], foreign),
        request(engine, "fine", frames[4:6], lambda: IntraTokenizer(0.5)),
    )
    for one in (good, bad, fine):
        runs.submit(one)
    held.let_go()

    assert len(good.future.result(WAIT_S).ran[0].outputs) == 2
    assert fine.future.result(WAIT_S).ran[0].outputs[0].tokens_kept == 12 * 16 // 2
    with pytest.raises(UsageError, match="cannot tokenize frames of bad: ") as failure:
        bad.future.result(WAIT_S)
    assert "\n" not in str(failure.value)
    assert str(pickle.loads(pickle.dumps(failure.value))) == str(failure.value)
    runs.check()


def test_frames_go_on_after_a_failure(batcher: Callable[..., Batcher], engine: Engine) -> None:
    runs = batcher(8)
    bad, good = request(engine, "a", clip()[:1], foreign), request(engine, "a", clip()[1:2])
    runs.submit(bad)
    with pytest.raises(UsageError):
        bad.future.result(WAIT_S)
    runs.submit(good)
    assert good.future.result(WAIT_S).complete


def test_a_request_larger_than_a_pass_comes_back_whole_and_in_order(
    batcher: Callable[..., Batcher], null: Engine
) -> None:
    runs = batcher(3)
    frames = clip("null")[:10]
    one = request(null, "a", frames)
    runs.submit(one)
    ran = one.future.result(WAIT_S).ran
    assert [frame for part in ran for frame in part.frames] == frames
    assert [len(part.frames) for part in ran] == [3, 3, 3, 1]
    assert all(energy.joules is not None for part in ran for energy in part.energies)


def test_requests_of_a_stream_end_in_the_order_they_came(
    batcher: Callable[..., Batcher], null: Engine
) -> None:
    runs = batcher(4)
    ended: list[int] = []

    def end(number: int) -> Callable[[Request], None]:
        def to(done: Request) -> None:
            ended.append(number)
            deliver(done)

        return to

    sent = [request(null, "a", clip("null")[:3], to=end(number)) for number in range(20)]
    for one in sent:
        runs.submit(one)
    for one in sent:
        one.future.result(WAIT_S)
    assert ended == list(range(20))


def test_requests_given_up_do_not_hold_up_the_others(batcher: Callable[..., Batcher], null: Engine) -> None:
    runs = batcher(4)
    held = Held(runs, null)
    sent = [request(null, "a", clip("null")[:3]) for _ in range(6)]
    for one in sent:
        runs.submit(one)
    for one in sent[::2]:
        assert one.future.cancel()
    held.let_go()
    for one in sent[1::2]:
        assert one.future.result(WAIT_S).complete
    assert all(not one.ran for one in sent[::2])


def test_a_request_whose_results_cannot_be_delivered_fails_alone(
    batcher: Callable[..., Batcher], null: Engine
) -> None:
    runs = batcher(8)
    held = Held(runs, null)

    def broken(_: Request) -> None:
        raise ServiceError("away")

    bad, good = request(null, "a", clip("null")[:2], to=broken), request(null, "b", clip("null")[:2])
    runs.submit(bad)
    runs.submit(good)
    held.let_go()
    assert good.future.result(WAIT_S).complete
    with pytest.raises(ServiceError, match="away"):
        bad.future.result(WAIT_S)
    assert len(good.ran) == 1


def test_what_waits_when_the_replica_stops_is_told_so(batcher: Callable[..., Batcher], null: Engine) -> None:
    runs = batcher(4)
    held = Held(runs, null)
    waiting = request(null, "a", clip("null")[:3])
    runs.submit(waiting)
    closing = threading.Thread(target=runs.close)
    closing.start()
    eventually(lambda: refuses(runs, request(null, "b", clip("null")[:1])))
    held.let_go()
    closing.join()
    assert held.request.future.result(WAIT_S).complete
    with pytest.raises(ServiceError, match="stops"):
        waiting.future.result(WAIT_S)


def test_the_load_tells_how_long_frames_waited_and_of_how_many_streams(
    batcher: Callable[..., Batcher], null: Engine
) -> None:
    runs = batcher(4)
    held = Held(runs, null)
    for stream in ("a", "b"):
        runs.submit(request(null, stream, clip("null")[:1]))
    load = runs.load()
    held.let_go()
    assert load.streams == 3
    assert load.backlog_s > 0
    assert 0 < load.busy <= 1


def test_an_errand_is_done_in_the_device_thread_before_what_waits(batcher, null):
    one = batcher()
    held = Held(one, null)
    order: list[str] = []

    def errand() -> None:
        order.append(threading.current_thread().name)

    def told(request: Request) -> None:
        order.append("frames")
        deliver(request)

    waiting = request(null, "later", clip("null")[:1], to=told)
    one.submit(waiting)
    done = one.between(errand)
    held.let_go()

    done.result(WAIT_S)
    waiting.future.result(WAIT_S)
    assert order == ["vwt-device", "frames"]


def test_an_errand_that_fails_tells_who_sent_it_and_nobody_else(batcher, null):
    one = batcher()

    def fail() -> None:
        raise UsageError("no such kernel")

    with pytest.raises(UsageError, match="no such kernel"):
        one.between(fail).result(WAIT_S)
    after = request(null, "after", clip("null")[:1])
    one.submit(after)
    assert after.future.result(WAIT_S) is after


def test_a_batcher_that_was_closed_takes_no_errands(batcher):
    one = batcher()
    one.close()
    with pytest.raises(ServiceError):
        one.between(lambda: None)
