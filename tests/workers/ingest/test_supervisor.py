import logging
import os
import select
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest

from pipeline.scene.polygon import Polygon
from pipeline.scene.zones import Zone, Zones
from tests import make_clips
from tests.pipeline.scene.examples import a_classes
from tests.vocab.servers import eventually
from vocab.connection import connect
from workers.contract.keys import StreamKeys
from workers.contract.result_log import ResultLog
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore
from workers.inference.placement import Placement
from workers.ingest.directory import Directory
from workers.ingest.supervisor import Supervisor


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Two seconds at 50 pictures a second."""
    return make_clips.steady(tmp_path_factory.mktemp("clips") / "quick.mp4", frames=100, rate=50)


@pytest.fixture
def endless(quick):
    """Makes specs of streams that go on for ever at their pace."""

    def make(name="cam", **settings):
        settings = {"loop": True, "realtime": True, **settings}
        return StreamSpec(id=name, source=str(quick), model="any", tokenizer="full", **settings)

    return make


@pytest.fixture
def supervise(server, inference):
    """Starts replicas; each has a client of its own."""
    supervisors = []

    def start(name="one", placement=None, **ingest):
        inference._client = connect(server.url)
        context = replace(
            inference.context(name, **ingest),
            sinks_client=connect(server.url),
            placement=placement or Placement(),
        )
        supervisors.append(Supervisor(context))
        return supervisors[-1]

    yield start
    inference.release()
    for supervisor in supervisors:
        supervisor.close()


@pytest.fixture
def store(client):
    return StreamStore(client)


def numbers(results):
    return [result["frame"] for result in results]


def next_frame(client, stream="cam"):
    return ResultLog(client, stream, 100).next_frame()


def test_a_stream_removed_between_the_look_and_the_claim_is_not_read_and_leaves_nothing(
    supervise, store, endless, client, monkeypatch
):
    store.add(endless())
    looks, look = threading.Semaphore(0), Directory.look

    def look_and_remove(self, held):
        look(self, held)
        if [one.spec.id for one in self.unread.waiting] == ["cam"]:
            StreamStore(client).remove("cam")
        looks.release()

    monkeypatch.setattr(Directory, "look", look_and_remove)
    one = supervise()
    for _ in range(3):
        assert looks.acquire(timeout=20)
    assert one.streams() == []
    assert [key for key in client.keys("vwt:{cam}:*") if client.ttl(key) == -1] == []


def test_replicas_share_the_streams(supervise, store, endless):
    for n in range(4):
        store.add(endless(f"cam-{n}"))
    one, two = supervise("one", streams_per_replica=2), supervise("two", streams_per_replica=2)
    eventually(lambda: len(one.streams()) == len(two.streams()) == 2)
    assert sorted(one.streams() + two.streams()) == [f"cam-{n}" for n in range(4)]
    eventually(lambda: one.wanted == two.wanted == 4)


def test_replicas_that_are_full_by_their_cpu_leave_new_streams_to_one_that_is_started(
    supervise, store, endless
):
    for n in range(2):
        store.add(endless(f"cam-{n}"))
    # Whatever is measured is more than that.
    one = supervise("one", cores_per_replica=1e-6, lease_s=60)
    eventually(lambda: one.wanted == 2)
    assert len(one.streams()) == 1
    two = supervise("two", cores_per_replica=1e-6, lease_s=60)
    eventually(lambda: len(two.streams()) == 1)
    assert sorted(one.streams() + two.streams()) == ["cam-0", "cam-1"]


def test_a_replica_takes_more_than_its_share_when_nobody_else_does(supervise, store, endless):
    for n in range(3):
        store.add(endless(f"cam-{n}"))
    one = supervise(streams_per_replica=1, max_streams_per_replica=2, lease_s=0.2)
    eventually(lambda: len(one.streams()) == 2)
    assert one.wanted == 3


def test_a_replica_with_too_many_streams_gives_some_to_one_that_has_just_come(
    supervise, store, endless, client, watch
):
    for n in range(4):
        store.add(endless(f"cam-{n}"))
    one = supervise("one", streams_per_replica=2, lease_s=0.2)
    eventually(lambda: len(one.streams()) == 4)
    two = supervise("two", streams_per_replica=2, lease_s=60)
    eventually(lambda: len(two.streams()) == 2)
    # On a busy machine leases as short as its may run out, and it hears of that a little later.
    eventually(lambda: len(one.streams()) == 2)
    moved = two.streams()[0]
    watch(moved).until_frame(next_frame(client, moved) + 5)
    results = watch(moved).results()
    assert numbers(results) == list(range(len(results)))


def test_a_killed_replica_is_followed_by_another_and_no_frame_is_missing(
    server, client, store, supervise, watch, endless
):
    store.add(endless())
    command = [sys.executable, "-m", "tests.workers.ingest.replica", server.url, "first"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert select.select([first.stdout], [], [], 60)[0]
        follow = watch("cam")
        follow.until_frame(5)
        second = supervise("second")
        first.kill()
    follow.until_frame(next_frame(client) + 10)
    assert second.streams() == ["cam"]
    status = store.status("cam")
    assert (status.restarts, status.ingest["replica"]) == (1, "second")
    results = follow.results()
    assert numbers(results) == list(range(len(results)))
    times = [round(result["pts_s"] * 50) for result in results]
    assert times == list(range(len(results)))


def test_a_replica_that_ends_hands_its_streams_over(client, supervise, store, watch, endless):
    store.add(endless())
    first = supervise("first", lease_s=60)
    watch("cam").until_frame(5)
    first.close()
    assert not client.exists(StreamKeys("cam").lease)
    status = store.status("cam")
    assert (status.state, status.ingest, status.restarts) == ("starting", None, 1)
    supervise("second", lease_s=60)
    watch("cam").until_frame(next_frame(client) + 5)
    assert store.status("cam").ingest["replica"] == "second"
    assert store.status("cam").restarts == 1
    results = watch("cam").results()
    assert numbers(results) == list(range(len(results)))


def test_a_removed_stream_is_left_though_its_peer_says_nothing(supervise, store, mute_port, client, watch):
    store.add(
        StreamSpec(id="cam", source=f"rtsp://127.0.0.1:{mute_port}/clip", model="any", tokenizer="full")
    )
    one = supervise(open_timeout_s=60)
    watch("cam").until_state("starting")
    store.remove("cam")
    eventually(lambda: one.streams() == [])
    assert client.keys("vwt:{cam}:*") == [StreamKeys("cam").last.encode()]


def test_a_paused_stream_is_left_and_goes_on_later_where_it_was(supervise, store, watch, endless, client):
    store.add(endless())
    one = supervise()
    follow = watch("cam")
    follow.until_frame(5)
    store.change("cam", {"paused": True})
    follow.until_state("paused")
    eventually(lambda: one.streams() == [])
    eventually(lambda: one.wanted == 0)
    assert store.status("cam").ingest is None
    store.change("cam", {"paused": False})
    follow.until_state("running")
    follow.until_frame(next_frame(client) + 5)
    results = follow.results()
    assert numbers(results) == list(range(len(results)))
    # Nobody had to take over.
    assert store.status("cam").restarts == 0


def test_replicas_place_all_streams_alike_whoever_reads_them_and_paused_ones_not(supervise, store, endless):
    names = [f"cam-{n}" for n in range(4)]
    for name in names:
        store.add(endless(name))
    placements = [Placement(), Placement()]
    for placement in placements:
        placement.use_replicas(["a", "b"])
    supervise("one", placements[0], streams_per_replica=2)
    supervise("two", placements[1], streams_per_replica=2)
    eventually(
        lambda: all(
            sorted(placement.of(name) or "" for name in names) == ["a", "a", "b", "b"]
            for placement in placements
        )
    )
    found = [[placement.of(name) for name in names] for placement in placements]
    assert found[0] == found[1]
    store.change("cam-0", {"paused": True})
    eventually(lambda: [placement.of("cam-0") for placement in placements] == [None, None])


def test_a_stream_paused_before_anybody_read_it_says_so(supervise, store, watch, endless):
    store.add(endless(paused=True))
    one = supervise()
    watch("cam").until_state("paused")
    assert one.streams() == []


def test_a_changed_stream_is_read_anew_with_its_new_settings(supervise, store, watch, endless, inference):
    store.add(endless())
    supervise()
    follow = watch("cam")
    follow.until_frame(5)
    store.change("cam", {"tokenizer": "intra", "drop": 0.7})
    follow.until_state("starting")
    follow.until_state("starting")
    eventually(lambda: inference.calls[-1].settings.options == {"drop": 0.7})
    assert store.status("cam").revision == 1


def test_other_zones_and_names_are_taken_over_on_the_way_and_the_source_is_not_opened_again(
    supervise, store, watch, endless, inference, client
):
    store.add(endless())
    supervise()
    watch("cam").until_frame(3)
    lease = client.hget(StreamKeys("cam").last, "token")
    means = dict(zip(("open", "closed"), np.eye(2, dtype=np.float32), strict=True))
    gate = Zone(Polygon.of([(0, 0), (1, 0), (1, 1)]), means, dict.fromkeys(means, 5), 0.1, 1.0)
    zones = Zones("any", "64x64 native", {"gate": gate}).to_dict()
    store.change("cam", {"zones": zones})
    eventually(lambda: inference.calls[-1].settings.zones == zones)
    eventually(lambda: store.status("cam").revision == 1)
    store.change("cam", {"zones": None})
    eventually(lambda: inference.calls[-1].settings.zones is None)
    classes = a_classes().to_dict()
    store.change("cam", {"classes": classes})
    eventually(lambda: inference.calls[-1].settings.classes == classes)
    eventually(lambda: store.status("cam").revision == 3)
    store.change("cam", {"classes": None})
    eventually(lambda: inference.calls[-1].settings.classes is None)
    # Whoever reads a stream anew takes a lease of its own.
    assert client.hget(StreamKeys("cam").last, "token") == lease


def test_an_ended_stream_stays_so_until_it_is_changed(supervise, store, watch, endless):
    store.add(endless(loop=False, realtime=False))
    one = supervise()
    follow = watch("cam")
    follow.until_state("ended")
    eventually(lambda: one.streams() == [] and one.wanted == 0)
    other = supervise("two")
    # Another stream shows that both have looked since.
    store.add(endless("other"))
    eventually(lambda: one.streams() + other.streams() == ["other"])
    assert store.status("cam").state == "ended"
    store.change("cam", {"loop": True})
    follow.until_state("running")
    follow.until_frame(120)
    assert numbers(follow.results())[:121] == list(range(121))


def test_a_missing_file_is_tried_again_only_when_the_stream_is_changed(
    supervise, store, watch, endless, quick, tmp_path
):
    path = tmp_path / "later.mp4"
    spec = endless(loop=False, realtime=False).model_copy(update={"source": str(path)})
    store.add(spec)
    one = supervise()
    follow = watch("cam")
    assert "No such file" in follow.until_state("failed")["reason"]
    eventually(lambda: one.streams() == [] and one.wanted == 0)
    assert store.status("cam").retry_at is None
    path.write_bytes(quick.read_bytes())
    store.change("cam", {"labels": {"try": "again"}})
    follow.until_state("ended")
    assert len(follow.results()) == 100


def test_a_camera_that_failed_is_tried_again_until_it_is_there(
    supervise, store, watch, rtsp_server, monkeypatch
):
    monkeypatch.setattr("workers.ingest.supervisor._RETRY_S", 0.1)
    rtsp_server.kill()
    store.add(StreamSpec(id="cam", source=rtsp_server.url, model="any", tokenizer="full"))
    one = supervise()
    follow = watch("cam")
    follow.until_state("failed")
    follow.until_state("failed")
    assert one.streams() == ["cam"]
    rtsp_server.start()
    follow.until_state("running")
    follow.until_frame(0)


def test_when_a_stream_that_failed_is_tried_again_is_told_until_it_is(
    supervise, store, watch, rtsp_server, monkeypatch
):
    monkeypatch.setattr("workers.ingest.supervisor._RETRY_S", 3.0)
    rtsp_server.kill()
    store.add(StreamSpec(id="cam", source=rtsp_server.url, model="any", tokenizer="full"))
    supervise()
    watch("cam").until_state("failed")
    seen = []
    eventually(lambda: seen.append(store.status("cam")) or seen[-1].retry_at)
    assert seen[-1].state == "failed"
    assert seen[-1].retry_at >= seen[-1].since + 2.9
    rtsp_server.start()
    watch("cam").until_state("running")
    assert store.status("cam").retry_at is None


def test_a_redis_that_lost_its_data_gets_the_streams_back_and_numbers_go_on(
    server, client, supervise, store, watch, endless
):
    store.add(endless())
    store.add(endless("idle", paused=True))
    one = supervise()
    watch("cam").until_frame(5)
    watch("idle").until_state("paused")
    before = next_frame(client)
    server.kill()
    server.start()
    watch("cam").until_state("running")
    eventually(lambda: set(store.all()) == {"cam", "idle"})
    watch("cam").until_frame(before + 10)
    results = watch("cam").results()
    assert results[0]["frame"] >= before - 1
    assert numbers(results) == list(range(results[0]["frame"], results[-1]["frame"] + 1))
    assert one.streams() == ["cam"]
    status = store.status("cam")
    assert (status.state, status.width, status.ingest["replica"]) == ("running", 160, "one")


def test_streams_run_on_after_redis_was_away_and_it_is_said_once(
    server, client, supervise, store, watch, endless, caplog
):
    store.add(endless())
    one = supervise(lease_s=0.5)
    watch("cam").until_frame(5)
    with caplog.at_level(logging.WARNING, logger="workers.ingest"):
        server.halt()
        eventually(lambda: "going on with 1 streams held" in caplog.text)
        os.kill(server._process.pid, signal.SIGCONT)
        eventually(lambda: "Redis is back" in caplog.text)
    watch("cam").until_frame(next_frame(client) + 20)
    results = watch("cam").results()
    assert numbers(results) == list(range(len(results)))
    assert caplog.text.count("going on with") == 1
    assert one.streams() == ["cam"]
    # The lease ran out meanwhile; the source was never let go.
    events = [fields[b"state"] for _, fields in client.xrange(StreamKeys("cam").events)]
    assert sum(b'"starting"' in event for event in events) == 1


def test_many_idle_sinks_keep_no_lease_from_being_renewed(
    supervise, store, endless, client, inference, tmp_path
):
    # More than redis-py gives a pool connections; a sink that waits used to hold one.
    sinks = [{"kind": "jsonl", "path": str(tmp_path / f"{n}.jsonl"), "name": f"s{n}"} for n in range(8)]
    names = [f"cam-{n}" for n in range(13)]
    for name in names:
        store.add(endless(name, sinks=sinks))
    inference.hold()
    supervise(streams_per_replica=20, lease_s=3.0)
    eventually(lambda: all(client.exists(StreamKeys(name).lease) for name in names))
    eventually(lambda: threads_named("vwt-sink") == 104)
    fences = {name: client.hget(StreamKeys(name).last, "token") for name in names}
    missing = sum(not client.exists(StreamKeys(name).lease) for _ in range(400) for name in pause(names))
    assert missing == 0
    assert {name: client.hget(StreamKeys(name).last, "token") for name in names} == fences


def threads_named(start):
    return sum(thread.name.startswith(start) for thread in threading.enumerate())


def pause(names):
    """The names, a hundredth of a second later."""
    threading.Event().wait(0.01)
    return names
