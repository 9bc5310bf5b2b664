"""The deployment in a real Ray, with results from a stand-in for Inference."""

import json
import os

import pytest
from ray import serve

from pipeline.fit import Inputs
from pipeline.input_spec import InputSpec
from tests import make_clips
from tests.small_ray import small_ray
from tests.vocab.servers import Server, eventually, unused_port
from vocab.connection import connect
from workers.contract.keys import StreamKeys
from workers.contract.messages import BatchDone, ModelFacts
from workers.contract.result_log import ResultLog
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore
from workers.ingest.deployment import ingest_deployment
from workers.settings.schema import ServiceSettings


class Inference:
    def __init__(self, url):
        self._client = connect(url)

    async def describe(self, model):
        del model
        return ModelFacts(Inputs(InputSpec(32, 32), 16), ("full",))

    async def infer(self, batch):
        results = [json.dumps({"frame": batch.first + n}) for n in range(len(batch.facts))]
        log = ResultLog(self._client, batch.stream, 10_000)
        next_frame = log.append(batch.fence, batch.first, results, batch.position)
        return BatchDone(next_frame=next_frame, infer_ms=1.0, latency_ms=1.0)


@pytest.fixture(scope="module")
def folder():
    with small_ray() as running:
        yield running.folder


@pytest.fixture(scope="module")
def service(folder):  # noqa: ARG001 - runs there
    """(handle of Ingest, a client of its Redis); up to two replicas of two streams each."""
    server = Server("valkey")
    settings = ServiceSettings(
        redis=server.url,
        ingest={
            "num_cpus": 0.2,
            "poll_s": 0.2,
            "streams_per_replica": 2,
            # Of what they take here the machine decides.
            "cores_per_replica": 1000.0,
            "scaling": {"max_replicas": 2, "upscale_delay_s": 0.5, "downscale_delay_s": 0.5},
        },
        access={"allow_folders": ["/"], "allow_hosts": ["*"]},
        log_format="json",
    )
    serve.start(proxy_location="Disabled")
    inference = serve.deployment(Inference).options(ray_actor_options={"num_cpus": 0.2})
    values = settings.model_dump(mode="json")
    handle = serve.run(ingest_deployment(settings).bind(values, inference.bind(server.url)))
    yield handle, connect(server.url)
    server.close()


@pytest.fixture(scope="module")
def endless(tmp_path_factory):
    clip = make_clips.steady(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=50)
    return lambda name: StreamSpec(
        id=name, source=str(clip), model="any", tokenizer="full", loop=True, realtime=True
    )


def test_a_replica_logs_json_that_says_of_which_stream_and_no_credential(service, folder):
    handle, client = service
    source = f"rtsp://viewer:p%40ss@127.0.0.1:{unused_port()}/live"
    StreamStore(client).add(StreamSpec(id="dark", source=source, model="any", tokenizer="full"))
    eventually(lambda: StreamStore(client).status("dark").state == "failed")
    StreamStore(client).remove("dark")
    replica = handle.where.remote().result(timeout_s=60)["replica"]
    (log,) = folder.glob(f"session_latest/logs/serve/replica_*Ingest_{replica}.log")
    text = log.read_text()
    assert "p%40ss" not in text
    lines = [json.loads(line) for line in text.splitlines()]
    failed = next(line for line in lines if line.get("stream") == "dark" and line["level"] == "WARNING")
    assert failed["logger"] == "workers.ingest.status_reporter"
    assert failed["message"].startswith("dark is failed: ")
    assert failed["deployment"] == "Ingest"
    assert failed["replica"] == replica


def test_a_replica_says_where_it_is(service):
    where = service[0].where.remote().result(timeout_s=60)
    assert set(where) == {"replica", "node", "pid"}
    assert where["pid"] != os.getpid()


def test_replicas_come_and_go_with_the_streams_and_leave_no_gap(service, endless):
    handle, client = service
    store = StreamStore(client)
    for n in range(4):
        store.add(endless(f"cam-{n}"))

    def readers():
        found = [status.ingest for status in store.statuses([f"cam-{n}" for n in range(4)])]
        return {reader["replica"] for reader in found if reader is not None} if all(found) else set()

    eventually(lambda: len(readers()) == 2, within_s=60)
    for n in (1, 2, 3):
        store.remove(f"cam-{n}")
    status = serve.status
    eventually(
        lambda: (
            len(status().applications["default"].deployments["Ingest"].replica_states) == 1
            and sum(status().applications["default"].deployments["Ingest"].replica_states.values()) == 1
        ),
        within_s=60,
    )
    # Whoever is left reads it on.
    before = ResultLog(client, "cam-0", 100).next_frame()
    eventually(lambda: ResultLog(client, "cam-0", 100).next_frame() > before + 5, within_s=60)
    ids = [int(entry.partition(b"-")[0]) for entry, _ in client.xrange(StreamKeys("cam-0").results)]
    assert ids == list(range(1, len(ids) + 1))
    assert handle.streams.remote().result(timeout_s=60) == ["cam-0"]


def test_after_the_end_no_lease_is_left(service):
    _, client = service
    assert client.exists(StreamKeys("cam-0").lease)
    serve.delete("default")
    assert not client.exists(StreamKeys("cam-0").lease)
