"""Whose frames run next, with requests of the real null model."""

import pytest
import torch

from pipeline.engine import Engine
from pipeline.models import NullModel
from pipeline.tokenizers import FullTokenizer
from tests.workers.inference.examples import FULL, asked, clip
from workers.inference.queue import FairQueue, Request, Slice

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(NullModel(CPU))


def request(engine: Engine, stream: str, count: int) -> Request:
    frames = (clip("null") * 4)[:count]
    return Request(
        stream=stream,
        engine=engine,
        frames=frames,
        keys=range(count),
        guarded=asked(FullTokenizer),
        settings=FULL,
        deliver=lambda _: None,
    )


def taken(slices: list[Slice]) -> list[tuple[str, int, int]]:
    return [(part.request.stream, part.start, part.stop) for part in slices]


def test_a_pass_is_shared_equally_among_the_streams_that_wait(engine: Engine) -> None:
    queue = FairQueue()
    for stream in ("a", "b"):
        queue.add(request(engine, stream, 16))
    assert taken(queue.take(8)) == [("a", 0, 4), ("b", 0, 4)]
    assert taken(queue.take(8)) == [("a", 4, 8), ("b", 4, 8)]


def test_what_a_stream_does_not_need_goes_to_the_others(engine: Engine) -> None:
    queue = FairQueue()
    queue.add(request(engine, "busy", 16))
    queue.add(request(engine, "quiet", 1))
    assert taken(queue.take(8)) == [("busy", 0, 7), ("quiet", 0, 1)]


def test_a_busy_stream_never_keeps_another_from_its_turn(engine: Engine) -> None:
    queue = FairQueue()
    for _ in range(4):
        queue.add(request(engine, "busy", 16))
    quiet = [request(engine, f"quiet-{number}", 1) for number in range(6)]
    for one in quiet:
        queue.add(one)
    first, second = queue.take(4), queue.take(4)
    served = {part.request.stream for part in first + second}
    assert served >= {one.stream for one in quiet}


def test_who_was_served_goes_to_the_back(engine: Engine) -> None:
    queue = FairQueue()
    for stream in ("a", "b", "c"):
        queue.add(request(engine, stream, 2))
    passes = [taken(queue.take(1)) for _ in range(6)]
    assert [one[0][0] for one in passes] == ["a", "b", "c", "a", "b", "c"]
    assert len(queue) == 0


def test_a_streams_requests_are_taken_in_order_and_may_share_a_pass(engine: Engine) -> None:
    queue = FairQueue()
    first, second = request(engine, "a", 3), request(engine, "a", 3)
    queue.add(first)
    queue.add(second)
    slices = queue.take(5)
    assert [(part.request, part.start, part.stop) for part in slices] == [(first, 0, 3), (second, 0, 2)]
    assert taken(queue.take(5)) == [("a", 2, 3)]


def test_frames_of_different_models_never_share_a_pass_and_keep_their_order(engine: Engine) -> None:
    other = Engine(NullModel(CPU))
    queue = FairQueue()
    queue.add(request(engine, "a", 2))
    queue.add(request(other, "a", 2))
    queue.add(request(other, "b", 2))
    queue.add(request(engine, "c", 2))
    engines = []
    order = []
    while len(queue):
        slices = queue.take(16)
        engines.append({id(part.request.engine) for part in slices})
        order.append(sorted(part.request.stream for part in slices))
    assert all(len(one) == 1 for one in engines)
    assert order == [["a", "c"], ["a", "b"]]


def test_a_request_nobody_waits_for_any_more_is_left_out(engine: Engine) -> None:
    queue = FairQueue()
    gone, wanted = request(engine, "a", 3), request(engine, "a", 3)
    queue.add(gone)
    queue.add(wanted)
    gone.future.cancel()
    slices = queue.take(8)
    assert [part.request for part in slices] == [wanted]
    assert len(queue) == 0


def test_what_is_left_of_a_request_that_failed_is_not_run(engine: Engine) -> None:
    queue = FairQueue()
    failed = request(engine, "a", 6)
    queue.add(failed)
    assert taken(queue.take(4)) == [("a", 0, 4)]
    failed.fail(ValueError("no"))
    assert queue.take(4) == []
    assert len(queue) == 0
