"""The deployment on a real Ray, with a real Redis."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.handle import DeploymentHandle

from pipeline.energy import Meter, Reading
from pipeline.errors import ModelError, UsageError
from pipeline.results import Energy
from tests.small_ray import small_ray
from tests.vocab.servers import Server
from tests.workers.inference.examples import FULL, batch, clip, encoded
from vocab.connection import connect
from workers.contract.keys import StreamKeys
from workers.contract.messages import BatchDone, FrameBatch
from workers.contract.result_log import OutOfOrderError
from workers.contract.stream_store import StreamStore
from workers.inference.deployment import inference_deployment
from workers.inference.device_ledger import shared_exchange
from workers.inference.metering import Figures, MeteredSpan
from workers.inference.placement import PLACEMENT
from workers.settings.schema import InferenceSettings, Scaling, ServiceSettings

WAIT_S = 120


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server("valkey")
    yield server
    server.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    with small_ray():
        serve.start(proxy_location="Disabled")
        yield


@pytest.fixture(scope="module")
def handle(cluster: None, server: Server) -> DeploymentHandle:  # noqa: ARG001 - must be up
    settings = ServiceSettings(
        redis=server.url,
        inference=InferenceSettings(
            meter="estimate", num_cpus=0.5, scaling=Scaling(min_replicas=2, max_replicas=2)
        ),
    )
    app = inference_deployment(settings).bind(settings.model_dump(mode="json"))
    return serve.run(app, name="test-inference", route_prefix=None)


def send(handle: DeploymentHandle, message: FrameBatch) -> Any:
    return handle.options(session_id=message.stream).infer.remote(message)


def frames_of(redis: Any, stream: str) -> list[int]:
    entries = redis.xrange(StreamKeys(stream).results)
    return [json.loads(fields[b"result"])["frame"] for _, fields in entries]


def replica_of(redis: Any, stream: str) -> dict[str, Any]:
    where = StreamStore(redis).status(stream).inference
    assert where is not None
    return where


def test_streams_stay_on_their_replica_and_their_results_are_durable_and_in_order(
    handle: DeploymentHandle, server: Server
) -> None:
    redis = connect(server.url)
    # So many that chance does not put them all on one of the two replicas.
    streams = [f"gate-{number}" for number in range(20)]
    replicas: dict[str, set[str]] = {stream: set() for stream in streams}
    for round_ in range(5):
        under_way = [send(handle, batch(s, 8 * round_ + 4 * half, 4)) for half in (0, 1) for s in streams]
        done = [one.result(timeout_s=WAIT_S) for one in under_way]
        assert {one.next_frame for one in done[-len(streams) :]} == {8 * round_ + 8}
        for stream in streams:
            replicas[stream].add(replica_of(redis, stream)["replica"])

    for stream in streams:
        assert frames_of(redis, stream) == list(range(40))
        assert len(replicas[stream]) == 1
    assert len(set.union(*replicas.values())) == 2


def test_streams_go_where_they_are_placed_and_a_replica_can_be_named(
    handle: DeploymentHandle, server: Server
) -> None:
    redis = connect(server.url)
    streams = [f"placed-{number}" for number in range(8)]
    handle.where.remote().result(timeout_s=WAIT_S)
    PLACEMENT.use_streams(streams)
    try:
        placed = {stream: PLACEMENT.of(stream) for stream in streams}
        for stream in streams:
            send(handle, batch(stream, 0, 4)).result(timeout_s=WAIT_S)
        assert {stream: replica_of(redis, stream)["replica"] for stream in streams} == placed
    finally:
        PLACEMENT.use_streams([])

    assert sorted(Counter(placed.values()).values()) == [4, 4]
    for name in set(placed.values()):
        named = handle.options(session_id=name).where.remote()
        assert named.result(timeout_s=WAIT_S)["replica"] == name


def test_errors_arrive_as_what_they_are(handle: DeploymentHandle) -> None:
    with pytest.raises(ModelError, match="unknown model 'vit_enormous'"):
        handle.describe.remote("vit_enormous").result(timeout_s=WAIT_S)
    with pytest.raises(UsageError, match="does not take the tokenizer inter"):
        send(handle, batch("wrong", settings=replace(FULL, tokenizer="inter"))).result(timeout_s=WAIT_S)
    send(handle, batch("gap", 0, 4)).result(timeout_s=WAIT_S)
    with pytest.raises(OutOfOrderError):
        send(handle, batch("gap", 8, 4)).result(timeout_s=WAIT_S)


def test_a_single_image_and_a_model_can_be_asked_about(handle: DeploymentHandle) -> None:
    facts = handle.describe.remote("null").result(timeout_s=WAIT_S)
    assert (facts.inputs.own.width, facts.inputs.patch_size, tuple(facts.tokenizers)) == (
        224,
        None,
        ("full",),
    )
    frame = clip("null")[0]
    result = handle.predict.remote(encoded(frame.image), FULL).result(timeout_s=WAIT_S)
    assert (result["stream"], result["frame"], result["prediction"]) == ("frames", 0, {"kind": "none"})
    assert set(handle.where.remote().result(timeout_s=WAIT_S)) == {"replica", "node", "pid"}


def test_replicas_share_one_ledger_per_device_and_get_over_its_loss(cluster: None) -> None:  # noqa: ARG001
    node = ray.get_runtime_context().get_node_id()
    first, second = (shared_exchange("rapl", "GPU-0", node, name, lambda *_: Steady()) for name in ("a", "b"))
    exchange_until_known(first, "x")
    exchange_until_known(second, "y")
    actor = ray.get_actor(f"vwt-energy-{node}-GPU-0", namespace="vwt")
    os.kill(ray.get(actor.pid.remote()), signal.SIGKILL)
    exchange_until_known(second, "z")


class Steady(Meter):
    """A counter of 100 W that ticks every 50 ms."""

    method = "rapl"

    def read(self) -> Reading:
        now = time.monotonic()
        return Reading(now, math.floor(now * 20) * 5.0)


def exchange_until_known(exchange: Callable[[Sequence[MeteredSpan]], Figures], key: str) -> None:
    """Sends spans until one gets its figure, as the first after a start may come too early."""
    deadline = time.monotonic() + WAIT_S
    known: list[tuple[Any, Energy]] = []
    for number in count():
        assert time.monotonic() < deadline, f"no figure came: {known}"
        now = time.monotonic()
        try:
            known += exchange([MeteredSpan(now - 0.1, now, (1.0,), ((key, number),))])
        except RayError:
            continue
        if any(energy.settled for _, energy in known):
            break
        time.sleep(0.1)
    assert {name[0] for name, _ in known} == {key}
    joules = [energy.joules for _, energy in known if energy.settled and energy.joules is not None]
    assert joules
    assert all(0 < one <= 15 for one in joules)


def resend(handle: DeploymentHandle, message: FrameBatch) -> BatchDone:
    """Sends until it is durable, as Ingest does after a failure."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            done: BatchDone = send(handle, message).result(timeout_s=20)
            return done
        except Exception:
            assert time.monotonic() < deadline, "no replica took the frames over"
            time.sleep(0.2)


def test_after_the_death_of_its_replica_a_stream_goes_on_where_it_was(
    handle: DeploymentHandle, server: Server
) -> None:
    redis = connect(server.url)
    for first in (0, 4):
        send(handle, batch("doomed", first, 4)).result(timeout_s=WAIT_S)
    before = replica_of(redis, "doomed")
    dropped = StreamStore(redis).status("doomed").joules
    os.kill(before["pid"], signal.SIGKILL)

    done = resend(handle, batch("doomed", 8, 4))

    assert done.next_frame == 12
    assert frames_of(redis, "doomed") == list(range(12))
    assert replica_of(redis, "doomed")["pid"] != before["pid"]
    after = StreamStore(redis).status("doomed").joules
    assert after is not None
    assert dropped is not None
    assert after > dropped
