"""What reading real streams tells of itself."""

from tests.vocab.servers import eventually
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore
from workers.ingest.supervisor import Supervisor
from workers.telemetry.metrics import DECODE, HELD, LEASES, RECONNECTS, ROUND_TRIP, UNDER_WAY


def values(told, metric):
    return [value for name, value, _ in list(told) if name == metric.name]


def changes(told):
    return [labels["change"] for name, _, labels in list(told) if name == LEASES.name]


def test_every_message_is_timed_once_and_leases_are_counted(client, inference, watch, clip, told):
    StreamStore(client).add(StreamSpec(id="cam", source=str(clip), model="any", tokenizer="full"))
    inference.hold(48)
    supervisor = Supervisor(inference.context("one"))
    try:
        watch("cam").until_frame(47)
        eventually(lambda: values(told, UNDER_WAY)[-1] == 16)
        assert values(told, HELD)[-1] == 1
        inference.release()
        watch("cam").until_state("ended")
        eventually(lambda: values(told, HELD)[-1] == 0)
        assert values(told, UNDER_WAY)[-1] == 0
    finally:
        inference.release()
        supervisor.close()
    assert len(values(told, DECODE)) == len(values(told, ROUND_TRIP)) == len(inference.calls)
    assert all(0 < seconds < 60 for seconds in values(told, DECODE) + values(told, ROUND_TRIP))
    assert changes(told) == ["taken"]


def test_a_stream_left_for_others_counts_as_handed_over(client, inference, watch, clip, told):
    spec = StreamSpec(id="cam", source=str(clip), model="any", tokenizer="full", loop=True, realtime=True)
    StreamStore(client).add(spec)
    supervisor = Supervisor(inference.context("one"))
    try:
        watch("cam").until_frame(0)
    finally:
        supervisor.close()
    assert changes(told) == ["taken", "handed_over"]


def test_a_camera_that_goes_away_counts_as_a_reconnect(client, inference, watch, rtsp_server, told):
    spec = StreamSpec(id="cam", source=rtsp_server.url, model="any", tokenizer="full")
    StreamStore(client).add(spec)
    supervisor = Supervisor(inference.context("one"))
    try:
        watch("cam").until_frame(0)
        rtsp_server.kill()
        watch("cam").until_state("reconnecting")
    finally:
        supervisor.close()
    assert values(told, RECONNECTS)
