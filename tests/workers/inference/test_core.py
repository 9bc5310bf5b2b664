"""A replica's work without Ray: real models, a real Redis."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import cv2
import numpy as np
import pytest

from pipeline.defaults import DEFAULT_MODEL
from pipeline.errors import ModelError, UsageError
from pipeline.frame import Frame, FrameTimes
from pipeline.history import Moment, find
from pipeline.models import model_input
from pipeline.preprocess import Preprocessor
from pipeline.warmup import learn_words
from tests.vocab.servers import Server, eventually
from tests.workers.inference.examples import FULL, INTER, batch, clip, encoded, with_drops
from vocab.connection import RedisClient, connect
from vocab.errors import StoreUnavailable
from vocab.redis_lease import RedisLease
from vocab.redis_store import RedisStore
from workers.contract.cursor import Cursor
from workers.contract.fenced import FencedError
from workers.contract.history_log import HistoryLog
from workers.contract.keys import StreamKeys
from workers.contract.result_log import OutOfOrderError
from workers.contract.stream_status import StreamStatus, to_fields
from workers.contract.stream_store import StreamStore
from workers.inference.core import InferenceCore
from workers.inference.metering import Figures, MeteredSpan
from workers.settings.budget import Budget
from workers.settings.schema import InferenceSettings, ServiceSettings

# Of a frame of carphone, which is 11:9: 13 rows of 16.
PATCHES = 12 * 16
WHERE = {"replica": "r1", "node": "n1", "pid": 1}
T = TypeVar("T")


def no_exchange(_method: str, _device_id: str | None) -> Callable[[Sequence[MeteredSpan]], Figures]:
    raise AssertionError("an estimate needs no shared ledger")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server("valkey")
    yield server
    server.close()


@pytest.fixture
def redis(server: Server) -> Iterator[Any]:
    client: Any = connect(server.url)
    client.flushall()
    yield client
    client.close()


def settings(url: str, **inference: Any) -> ServiceSettings:
    return ServiceSettings(redis=url, inference=InferenceSettings(meter="estimate", batch=8, **inference))


class Replica:
    """A core with an event loop of its own, as a Serve replica has."""

    def __init__(self, url: str, where: dict[str, Any] = WHERE, **inference: Any) -> None:
        self.core = InferenceCore(settings(url, **inference), where, no_exchange)
        self._loop = asyncio.new_event_loop()

    def do(self, *work: Awaitable[T]) -> list[T]:
        async def together() -> list[T]:
            return list(await asyncio.gather(*work))

        return self._loop.run_until_complete(together())

    def infer(self, *batches: Any) -> list[Any]:
        return self.do(*(self.core.infer(one) for one in batches))

    def close(self) -> None:
        self.core.close()
        self._loop.close()


@pytest.fixture
def replica(server: Server, redis: Any) -> Iterator[Replica]:  # noqa: ARG001 - emptied before
    replica = Replica(server.url)
    yield replica
    replica.close()


def results(redis: Any, stream: str) -> list[dict[str, Any]]:
    entries = redis.xrange(StreamKeys(stream).results)
    found = [json.loads(fields[b"result"]) for _, fields in entries]
    assert [entry.decode() for entry, _ in entries] == [Cursor(r["frame"] + 1).results for r in found]
    return found


def status(redis: RedisClient, stream: str) -> StreamStatus:
    return StreamStore(redis).status(stream)


def test_the_results_of_several_streams_are_durable_and_in_order_when_infer_returns(
    replica: Replica, redis: Any
) -> None:
    done = replica.infer(*(batch(s, first, 5) for first in (0, 5, 10) for s in ("a", "b")))

    assert [one.next_frame for one in done] == [5, 5, 10, 10, 15, 15]
    for stream in ("a", "b"):
        found = results(redis, stream)
        assert [one["frame"] for one in found] == list(range(15))
        assert {one["stream"] for one in found} == {stream}
        assert found[4]["pts_s"] == pytest.approx(clip("null")[4].times.pts_s, abs=1e-6)
        assert all(one["energy"]["joules"] > 0 for one in found)
        assert all(one["latency_ms"]["queue"] >= 0 for one in found)


def test_the_status_says_who_predicted_and_what_it_adds_up_to(replica: Replica, redis: Any) -> None:
    sent = with_drops(batch("a", 0, 4, position={"loop_first": 2}), {"late": 3})
    replica.infer(sent)
    replica.infer(with_drops(batch("a", 4, 4), {"late": 1, "gap": 1}))

    assert (status(redis, "a").fps, status(redis, "a").latency_ms) == (None, None)
    redis.hset(StreamKeys("a").state, mapping=to_fields({"state": "running"}))
    found, now = results(redis, "a"), status(redis, "a")
    assert now.inference == WHERE
    assert (now.next_frame, now.loop_first) == (8, 2)
    assert now.pts_s == pytest.approx(found[-1]["pts_s"], abs=1e-6)
    assert now.dropped == {"late": 4, "gap": 1}
    assert now.energy_method == "estimate"
    assert now.joules == pytest.approx(sum(one["energy"]["joules"] for one in found), abs=1e-5)
    assert now.results_at == pytest.approx(time.time(), abs=60)
    assert now.fps is not None
    assert now.latency_ms is not None


def test_frames_sent_again_count_once(replica: Replica, redis: Any) -> None:
    replica.infer(with_drops(batch("a", 0, 4), {"late": 3}))
    before = status(redis, "a")
    (again,) = replica.infer(with_drops(batch("a", 0, 4), {"late": 3}))
    assert again.next_frame == 4
    assert len(results(redis, "a")) == 4
    after = status(redis, "a")
    assert (after.dropped, after.joules) == (before.dropped, before.joules)

    replica.infer(batch("a", 2, 4))
    found = results(redis, "a")
    assert [one["frame"] for one in found] == list(range(6))
    now = status(redis, "a")
    assert now.joules == pytest.approx(sum(one["energy"]["joules"] for one in found), abs=1e-5)


def test_sums_go_on_when_a_stream_changes_its_replica(replica: Replica, server: Server, redis: Any) -> None:
    other = Replica(server.url, {**WHERE, "replica": "r2"})
    replica.infer(with_drops(batch("a", 0, 4), {"late": 3}))
    other.infer(with_drops(batch("a", 4, 4), {"late": 2}))
    now = status(redis, "a")
    assert now.inference is not None
    assert now.inference["replica"] == "r2"
    assert now.dropped == {"late": 5}
    energies = [one["energy"]["joules"] for one in results(redis, "a")]
    assert now.joules == pytest.approx(sum(energies), abs=1e-5)
    # And back again: nothing that either remembers is out of date.
    replica.infer(with_drops(batch("a", 8, 1), {"late": 1}))
    assert status(redis, "a").dropped == {"late": 6}
    other.close()


def test_a_gap_a_newer_token_and_a_redis_that_is_away_are_told_as_they_are(
    replica: Replica, redis: Any, server: Server
) -> None:
    replica.infer(batch("a", 0, 4))
    with pytest.raises(OutOfOrderError):
        replica.infer(batch("a", 8, 4))
    keys = StreamKeys("b")
    fence = RedisLease(redis, keys).acquire()
    assert fence is not None
    with pytest.raises(FencedError):
        replica.infer(batch("b", fence=fence - 1))
    replica.infer(batch("b", fence=fence))
    server.kill()
    try:
        with pytest.raises(StoreUnavailable):
            replica.infer(batch("a", 4, 4))
    finally:
        server.start()
    # The server came back without its data: the stream goes on where Ingest is.
    replica.infer(batch("a", 4, 4))
    assert [one["frame"] for one in results(redis, "a")] == [4, 5, 6, 7]


def test_who_gives_up_waiting_holds_up_nobody(replica: Replica, redis: Any) -> None:
    async def give_up() -> None:
        waiting = [asyncio.ensure_future(replica.core.infer(batch("a", n * 4, 4))) for n in range(4)]
        await asyncio.sleep(0)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    replica.do(give_up())
    (done,) = replica.infer(batch("b"))
    assert done.next_frame == 4
    # Whatever became of those given up, the stream goes on from what is durable.
    first = len(results(redis, "a"))
    (done,) = replica.infer(batch("a", first, 4))
    assert done.next_frame == first + 4


def test_a_model_that_cannot_be_had_fails_its_streams_only(replica: Replica) -> None:

    async def together() -> list[Any]:
        core = replica.core
        asked = (core.infer(batch("a")), core.describe("vit_enormous"), core.describe("null"))
        return await asyncio.gather(*asked, return_exceptions=True)

    (outcome,) = replica.do(together())
    assert outcome[0].next_frame == 4
    assert isinstance(outcome[1], ModelError)
    assert outcome[2].tokenizers == ("full",)
    with pytest.raises(ModelError, match="unknown model 'vit_enormous'"):
        replica.infer(replace(batch("b"), settings=replace(FULL, model="vit_enormous")))


def test_settings_and_frames_that_do_not_fit_the_model_are_refused(replica: Replica) -> None:
    with pytest.raises(UsageError, match=r"'null' does not take the tokenizer inter: .*; use full"):
        replica.infer(batch("a", settings=replace(FULL, tokenizer="inter")))
    small = batch("a")
    with pytest.raises(UsageError, match="frames of 100x100 do not fit model 'null'; send 224x224"):
        replica.infer(replace(small, images=small.images[:, :100, :100]))


def framed(model: str, width: int, height: int, **asked: Any) -> list[Frame]:
    """Grey pictures as Ingest makes them, with a red ball."""
    spec, _ = model_input(model, **asked)
    picture = np.full((height, width, 3), 110, np.uint8)
    cv2.circle(picture, (round(0.4 * width), round(0.6 * height)), min(width, height) // 6, (230, 40, 30), -1)
    image, geometry, _ = Preprocessor(spec)(picture)
    return [Frame(FrameTimes(pts_s=0.0), image, geometry)]


def test_streams_of_all_aspects_fits_and_sizes_share_a_model(replica: Replica, redis: Any) -> None:
    asked = [
        ("wide", (640, 272), {}, 7 * 16),
        ("high", (272, 640), {}, 16 * 7),
        ("boxed", (640, 272), {"fit": "letterbox"}, 8 * 16),
        ("flat", (640, 272), {"fit": "stretch", "size": "112x56"}, 4 * 8),
        ("large", (640, 272), {"size": "448"}, 14 * 32),
    ]
    plain = replace(INTER, tokenizer="full", options={})

    async def together() -> list[Any]:
        return await asyncio.gather(
            *(
                replica.core.infer(
                    batch(name, 0, 2, replace(plain, **given), frames=framed(DEFAULT_MODEL, *size, **given))
                )
                for name, size, given, _ in asked
            )
        )

    replica.do(together())

    for name, _, _, tokens in asked:
        for result in results(redis, name):
            assert result["tokens"] == {"full": tokens, "kept": tokens}
            region = result["prediction"]["regions"][0]
            middle = (region["x"] + region["w"] / 2, region["y"] + region["h"] / 2)
            assert middle == pytest.approx((0.4, 0.6), abs=0.08)


def test_frames_that_another_fit_or_size_made_are_refused(replica: Replica) -> None:
    wide = framed(DEFAULT_MODEL, 640, 272)
    plain = replace(INTER, tokenizer="full", options={})
    for given, says in (
        ({"fit": "crop"}, "frames of 224x98 do not fit model '.*'; send 224x224$"),
        ({"size": "140"}, "send 140x140, or less in whole patches of 14"),
        ({"size": "150"}, "not in whole patches"),
    ):
        with pytest.raises(UsageError, match=says):
            replica.infer(batch("a", 0, 2, replace(plain, **given), frames=wide))


def published(redis: Any, model: str, scope: str, words: int = 100) -> int:
    """Publishes words of the clip; gives their version."""
    spec, patch_size = model_input(model)
    assert patch_size is not None
    store = RedisStore(redis, scope, patch_size, spec.normalisation)
    images = [frame.image for frame in clip(model)[:4]]
    vocabulary = learn_words(images, spec, patch_size, words)
    lease = RedisLease(redis, scope)
    fence = lease.acquire()
    assert fence is not None
    done = store.publish(vocabulary, fence)
    lease.release()
    assert done is not None
    return done.version


def test_inter_frames_run_in_full_until_the_scope_has_words_and_follow_them_from_then_on(
    replica: Replica, redis: Any
) -> None:
    replica.infer(batch("a", 0, 2, INTER))
    before = results(redis, "a")
    assert {(r["tokenizer"], r["vocab_version"], r["tokens"]["kept"]) for r in before} == {
        ("inter", None, PATCHES)
    }
    window = f"vwt:{{{INTER.scope}}}:window"
    eventually(lambda: redis.xlen(window))

    versions = []
    for _ in range(2):
        versions.append(published(redis, DEFAULT_MODEL, INTER.scope))
        wanted = versions[-1]

        def follows(wanted: int = wanted) -> bool:
            first = len(results(redis, "a"))
            replica.infer(batch("a", first, 1, INTER))
            return bool(results(redis, "a")[-1]["vocab_version"] == wanted)

        eventually(follows)
    assert results(redis, "a")[-1]["tokens"]["kept"] < PATCHES
    now = status(redis, "a")
    found = results(redis, "a")
    assert now.vocab_version == versions[-1]
    assert now.tokens_kept == sum(one["tokens"]["kept"] for one in found)
    assert now.tokens_full == PATCHES * len(found)


def test_words_of_another_model_fail_the_stream_that_asks_for_them_until_they_are_gone(
    replica: Replica, redis: Any
) -> None:
    published(redis, "vit_tiny_patch16_224", INTER.scope)
    with pytest.raises(UsageError, match=f"cannot use the words of {INTER.scope} .*use another scope"):
        replica.infer(batch("a", 0, 1, INTER))
    (done,) = replica.infer(batch("b", 0, 1, replace(INTER, scope="other")))
    assert done.next_frame == 1
    redis.flushall()
    (done,) = replica.infer(batch("a", 0, 1, INTER))
    assert done.next_frame == 1


RECALL = replace(FULL, model=DEFAULT_MODEL, tokenizer="recall", options={})


def still(stream: str, first: int = 0, **changes: Any) -> Any:
    """Two frames of a camera that sees nothing move."""
    (picture,) = clip(count=1)
    times = [FrameTimes(pts_s=0.2 * number) for number in (first, first + 1)]
    return batch(stream, first, 2, RECALL, frames=[replace(picture, times=some) for some in times], **changes)


def decisions(redis: Any, stream: str) -> list[str]:
    return [result["decision"] for result in results(redis, stream)]


def test_a_stream_that_recalls_goes_on_from_message_to_message(replica: Replica, redis: Any) -> None:
    for first in (0, 2):
        replica.infer(*(still(stream, first) for stream in ("yard", "hall")))

    for stream in ("yard", "hall"):
        assert decisions(redis, stream) == ["full", "hold", "hold", "hold"]
        found = results(redis, stream)
        assert [result["held_ms"] for result in found] == [None, 200, 400, 600]
        assert [result["tokens"]["kept"] for result in found] == [PATCHES, 0, 0, 0]
        assert all(result["prediction"] == found[0]["prediction"] for result in found)


def test_a_result_does_not_depend_on_the_streams_that_recall_beside_it(replica: Replica, redis: Any) -> None:
    clips = {"carphone": clip(count=6), "bunny": clip(count=6, clip="sample:bunny")}
    for stream, frames in clips.items():
        replica.infer(batch(f"{stream} alone", 0, 6, RECALL, frames=frames))
    others = batch("bikes", 0, 6, replace(RECALL, tokenizer="full"), frames=clip(count=6))

    replica.infer(others, *(batch(stream, 0, 6, RECALL, frames=frames) for stream, frames in clips.items()))

    for stream in clips:
        assert decisions(redis, stream) == decisions(redis, f"{stream} alone")
        for found, alone in zip(results(redis, stream), results(redis, f"{stream} alone"), strict=True):
            assert (found["tokens"], found["share"]) == (alone["tokens"], alone["share"])
            assert found["prediction"] == alone["prediction"]


def at(pts_s: float, picture: Frame) -> Frame:
    return replace(picture, times=FrameTimes(pts_s=pts_s))


WIDER = clip(count=1, clip="sample:bunny")[0]


@pytest.mark.parametrize(
    ("pts_s", "picture"),
    [(7.0, None), (500.0, None), (10.4, WIDER)],
    ids=["a seek or loop back", "a jump or a long pause", "a source of another size"],
)
def test_a_stream_that_does_not_go_on_pays_one_full_frame_and_is_never_answered_wrong(
    server: Server, redis: Any, pts_s: float, picture: Frame | None
) -> None:
    # Where plans and recall compute the same.
    replica = Replica(server.url, precision="fp32", runtime="torch")
    (before,) = clip(count=1)
    # Another picture, or what was kept would do as well.
    picture = picture or clip(count=16)[15]
    goes_on = [at(pts_s + 0.2 * number, picture) for number in range(2)]
    replica.infer(batch("yard", 0, 2, RECALL, frames=[at(10, before), at(10.2, before)]))

    replica.infer(batch("yard", 2, 2, RECALL, frames=goes_on))

    replica.infer(batch("plain", 0, 2, replace(RECALL, tokenizer="full"), frames=goes_on))
    replica.close()
    assert decisions(redis, "yard") == ["full", "hold", "full", "hold"]
    found, plain = results(redis, "yard")[2:], results(redis, "plain")
    for one, other in zip(found, plain, strict=True):
        assert one["tokens"]["full"] == other["tokens"]["full"]
        regions, expected = one["prediction"]["regions"], other["prediction"]["regions"]
        assert len(regions) == len(expected) > 0
        for region, same in zip(regions, expected, strict=True):
            assert region == pytest.approx(same, abs=2e-4)


def test_frames_of_a_stream_that_recalls_sent_again_have_one_result_and_a_right_one(
    replica: Replica, redis: Any
) -> None:
    replica.infer(still("yard"), still("yard", 2))
    before = results(redis, "yard")

    replica.infer(still("yard", 2), still("yard", 4))

    assert results(redis, "yard")[:4] == before
    assert decisions(redis, "yard")[4:] == ["hold", "hold"]


def test_the_status_of_a_stream_that_recalls_says_what_was_decided_kept_and_saved(
    server: Server, redis: Any
) -> None:
    # Another machine may choose another precision, and outputs take another size.
    replica = Replica(server.url, precision="fp32", runtime="torch")
    for first in range(0, 50, 2):
        replica.infer(still("yard", first))
    replica.close()

    now, found = status(redis, "yard"), results(redis, "yard")
    assert now.decisions == {"full": 2, "hold": 48}
    # Keys and values in bfloat16, and about as much again for pixels, contexts and outputs.
    assert 2 * 2 * 12 * PATCHES * 384 < now.recall_bytes < 7.5e6
    audited = found[48]
    assert now.full_joules == pytest.approx([audited["energy"]["joules"]], rel=1e-3)
    assert now.saved_joules == pytest.approx(
        audited["energy"]["joules"] - found[49]["energy"]["joules"], rel=1e-3
    )


def test_a_replica_that_takes_over_pays_one_full_frame(replica: Replica, server: Server, redis: Any) -> None:
    replica.infer(still("yard"))
    another = Replica(server.url)
    try:
        another.infer(still("yard", 2, fence=2))
    finally:
        another.close()

    assert decisions(redis, "yard") == ["full", "hold", "full", "hold"]


def test_streams_not_used_for_longest_make_room_for_others(
    server: Server, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Room is made every second as well, and where frames take long, that is between them.
    monkeypatch.setattr("workers.inference.streams._FOLLOW_EVERY_S", 3600.0)
    alone = Replica(server.url)
    try:
        alone.infer(still("roof"))
    finally:
        alone.close()
    each = StreamStore(redis).status("roof").recall_bytes
    replica = Replica(server.url, recall_bytes=5 * each // 2)
    try:
        for first in (0, 2):
            for stream in ("yard", "hall", "gate"):
                replica.infer(still(stream, first))
        replica.infer(still("yard", 4))
    finally:
        replica.close()

    # Two fit. The yard came back while the hall had been away for longest, and then it was the yard itself.
    assert decisions(redis, "hall") == ["full", "hold", "full", "hold"]
    assert decisions(redis, "gate") == ["full", "hold", "hold", "hold"]
    assert decisions(redis, "yard") == ["full", "hold", "hold", "hold", "full", "hold"]


def test_single_images_recall_nothing_of_each_other(replica: Replica) -> None:
    image = encoded(clip(count=1)[0].image)

    first, second = replica.do(*(replica.core.questions.predict(image, RECALL) for _ in range(2)))

    assert first["decision"] == second["decision"] == "full"
    assert first["prediction"] == second["prediction"]


def test_audited_results_and_the_status_say_what_answers_are_worth(replica: Replica, redis: Any) -> None:
    merge = replace(RECALL, tokenizer="merge", options={"r": 20}, audit=1.0, guard=0.999)
    replica.infer(batch("bikes", 0, 1, merge), batch("hall", 0, 1, replace(merge, audit=0.0, guard=None)))
    replica.infer(batch("bikes", 1, 1, merge))

    for result in results(redis, "bikes"):
        assert 0.5 < result["fidelity"]["cosine"] < 1
        assert result["stream_fidelity"]["audits"] == result["frame"] + 1
    status = StreamStore(redis).status("bikes")
    assert status.fidelity is not None
    assert status.fidelity["audits"] == 2
    assert status.guard is not None
    assert (status.guard["option"], status.guard["target"]) == ("r", 0.999)
    assert status.guard["value"] < 20
    assert status.saving is not None
    assert status.saving["audits"] == 2
    assert status.saving["operations"]["mean"] > 0.2
    (other,) = results(redis, "hall")
    assert (other["fidelity"], other["stream_fidelity"]) == (None, None)
    assert (StreamStore(redis).status("hall").fidelity, StreamStore(redis).status("hall").guard) == (
        None,
        None,
    )


def test_a_single_image_gets_a_result_and_leaves_nothing_behind(replica: Replica, redis: Any) -> None:
    frame = clip()[0]
    settings = replace(INTER, tokenizer="intra")
    (result,) = replica.do(replica.core.questions.predict(encoded(frame.image), settings))
    assert (result["stream"], result["frame"], result["pts_s"]) == ("frames", 0, None)
    assert result["tokens"] == {"full": PATCHES, "kept": PATCHES // 2}
    assert result["prediction"]["kind"] == "regions"
    assert redis.keys() == []


def picture(data: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def test_a_preview_is_painted_only_while_somebody_watches(replica: Replica, redis: Any) -> None:
    keys = StreamKeys("a")
    settings = replace(INTER, tokenizer="intra")
    for first in (0, 1):
        replica.infer(batch("a", first, 1, settings))
    # Results are durable before their picture is painted; that of frame 0 is done when frame 1 is durable.
    assert not redis.exists(keys.preview)

    redis.set(keys.watched, 1)

    def shown() -> bool:
        replica.infer(batch("a", len(results(redis, "a")), 1, settings))
        return bool(redis.exists(keys.preview))

    eventually(shown)
    preview = redis.hgetall(keys.preview)
    with_map, plain = picture(preview[b"jpeg"]), picture(preview[b"plain"])
    assert with_map.shape == plain.shape
    assert np.abs(with_map.astype(int) - plain).mean() > 5
    assert int(preview[b"frame"]) >= 1
    assert 0 < redis.ttl(keys.preview) <= 30


def test_a_replica_starts_without_redis_and_says_so_when_it_is_needed(server: Server) -> None:
    replica = Replica(f"unix://{server.folder}/nowhere")
    assert replica.do(replica.core.describe("null"))[0].inputs.patch_size is None
    with pytest.raises(StoreUnavailable, match="nowhere"):
        replica.infer(batch("a"))
    replica.close()


def test_models_beyond_the_limit_make_room_and_come_back(server: Server) -> None:
    replica = Replica(server.url, max_models=1, weights={"resnet18": "random"})
    for model in ("null", "resnet18", "null"):
        assert replica.do(replica.core.describe(model))[0].inputs.own.width == 224
    replica.close()


def test_a_meter_that_cannot_be_had_is_refused_at_the_start(server: Server) -> None:
    asked = ServiceSettings(redis=server.url, inference=InferenceSettings(meter="nvml"))
    with pytest.raises(UsageError, match="nvml meter measures cuda only"):
        InferenceCore(asked, WHERE, no_exchange)


@pytest.mark.parametrize("asked", [False, True])
def test_the_features_of_a_frame_come_beside_its_regions_where_they_are_asked_for(
    server: Server, redis: Any, asked: bool
) -> None:
    replica = Replica(server.url, embedding=asked)
    replica.infer(batch("a", 0, 1, replace(INTER, tokenizer="full", options={})))
    (result,) = results(redis, "a")
    replica.close()

    assert result["prediction"]["kind"] == "regions"
    assert len(result["prediction"].get("embedding", [])) == (384 if asked else 0)


def test_a_budget_is_refused_where_nothing_counts_it_and_told_where_it_is_shared(
    server: Server, redis: Any
) -> None:
    with pytest.raises(UsageError, match="a budget of watts wants a counter, and here is none"):
        InferenceCore(settings(server.url).model_copy(update={"budget": Budget(watts=5)}), WHERE, no_exchange)
    core = InferenceCore(
        settings(server.url).model_copy(update={"budget": Budget(gflops=0.5)}), WHERE, no_exchange
    )
    loop = asyncio.new_event_loop()
    deadline, first, interval_s = time.monotonic() + 60, 0, None
    # As fast as can be is more than that, so frames are to come more rarely.
    while interval_s is None:
        assert time.monotonic() < deadline
        sent = batch("cam", first, 4, replace(FULL, model=DEFAULT_MODEL))
        interval_s = loop.run_until_complete(core.infer(replace(sent, live=True))).interval_s
        first += 4
    core.close()
    loop.close()
    shared = status(redis, "cam").sharing
    assert shared is not None
    assert (shared["budget"]["unit"], shared["budget"]["limit"]) == ("gflops", 0.5)
    assert shared["budget"]["used"] == pytest.approx(shared["gflops"])
    assert shared["gflops"] > 0.5
    assert shared["fps"] == pytest.approx(1 / interval_s, rel=0.01)


def test_a_stream_that_keeps_a_history_is_searched_by_a_picture_or_a_part_of_one(
    server: Server, redis: Any
) -> None:
    replica = Replica(server.url)
    own = replace(FULL, model=DEFAULT_MODEL, history=2**20)
    replica.infer(batch("a", 0, 4, own))
    images = clip(DEFAULT_MODEL)
    for box in (None, "0,0,.5,.5"):
        (wanted,) = replica.do(replica.core.questions.look(encoded(images[0].image), own, box))
        log = HistoryLog(redis, "a")
        records = log.records(DEFAULT_MODEL)
        assert records is not None
        found = find(records, wanted, apart_s=0)
        assert found[0].moment == Moment(0, images[0].times.pts_s, None)
        assert found[0].score > 0.98
    (jpeg,) = log.pictures([0])
    assert jpeg is not None
    assert max(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape) == 160
    assert "embedding" not in results(redis, "a")[0]["prediction"]
    replica.close()


def test_a_stream_without_a_history_leaves_none(replica: Replica, redis: Any) -> None:
    replica.infer(batch("a", 0, 2, replace(FULL, model=DEFAULT_MODEL)))
    assert not redis.exists(StreamKeys("a").history)


@pytest.mark.parametrize(
    ("box", "model", "said"),
    [("1,2", DEFAULT_MODEL, "no box"), (None, "null", "no embedding"), ("0,0,1,1", "resnet18", "no patches")],
)
def test_what_cannot_be_looked_for_is_refused(server: Server, box: str | None, model: str, said: str) -> None:
    replica = Replica(server.url, weights={"resnet18": "random"})
    picture = encoded(np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(UsageError, match=said):
        replica.do(replica.core.questions.look(picture, replace(FULL, model=model), box))
    replica.close()
