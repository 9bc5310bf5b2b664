import json

import av
import numpy as np
import pytest

from pipeline.scene.polygon import Polygon
from pipeline.scene.zones import Zone, Zones
from tests import make_clips
from tests.pipeline.scene.examples import a_classes
from vocab.redis_lease import RedisLease
from workers.contract.keys import StreamKeys
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore
from workers.ingest.worker import StreamWorker


def spec_of(source, **settings) -> StreamSpec:
    return StreamSpec(id="cam", source=str(source), model="any", **{"tokenizer": "full", **settings})


@pytest.fixture
def run(client, inference):
    """Starts reading a stream as whoever gets its lease next would."""
    runs = []

    def start(spec, replica="one", **ingest):
        fence = RedisLease(client, StreamKeys(spec.id)).acquire()
        status = StreamStore(client).status(spec.id)
        runs.append(StreamWorker(spec, fence, status, inference.context(replica, **ingest)))
        return runs[-1]

    yield start
    for run in runs:
        run.stop()
        run.join(30)


def stop(run, client) -> None:
    """As a crash would, but for the lease, which does not have to run out."""
    run.stop()
    run.join(30)
    assert run.outcome is None
    client.delete(StreamKeys("cam").lease)


def pictures(path):
    """(pts, sum of pixels as the model sees them) of every picture."""
    from pipeline.input_spec import InputSpec
    from pipeline.preprocess import Preprocessor

    preprocess = Preprocessor(InputSpec(32, 32))
    with av.open(str(path)) as container:
        return [
            (round(p.time, 6), int(preprocess(p)[0].astype(int).sum())) for p in container.decode(video=0)
        ]


def read(results):
    return [(round(result["pts_s"], 6), result["pixels"]) for result in results]


def test_a_file_gives_every_picture_once_and_ends(client, run, watch, clip):
    run(spec_of(clip))
    ended = watch("cam").until_state("ended")
    results = watch("cam").results()
    assert [result["frame"] for result in results] == list(range(100))
    assert read(results) == pictures(clip)
    assert (ended["reason"], ended["frame"]) == (None, 100)
    status = StreamStore(client).status("cam")
    assert (status.live, status.width, status.height, status.ingest) == (False, 160, 96, None)
    assert status.loop_first == 0


def test_the_status_says_what_of_the_source_is_decoded(client, run, watch, tmp_path):
    # Key frames every half second, of which two in five are sampled.
    clip = make_clips.steady(tmp_path / "a.mp4", frames=100, rate=10)
    run(spec_of(clip, fps=1.0))
    watch("cam").until_state("ended")
    decoding = StreamStore(client).status("cam").decoding
    assert (decoding["how"], decoding["reason"]) == ("needed", None)
    assert len(watch("cam").results()) == 10
    assert 0 < decoding["share"] < 0.5


def test_a_stream_is_read_as_its_fit_and_size_say(run, inference, watch, clip):
    run(spec_of(clip, fit="native", size=64))
    watch("cam").until_state("ended")
    # 160x96 in 64x64, in whole patches of 16
    assert {call.images.shape[1:] for call in inference.calls} == {(32, 64, 3)}
    facts = inference.calls[0].facts[0]
    assert (facts.geometry.input_width, facts.geometry.input_height) == (64, 32)
    assert {(call.settings.fit, call.settings.size) for call in inference.calls} == {("native", "64")}


def test_what_a_stream_asks_of_its_scene_goes_with_its_frames(run, inference, watch, clip):
    means = dict(zip(("open", "closed"), np.eye(2, dtype=np.float32), strict=True))
    gate = Zone(Polygon.of([(0, 0), (1, 0), (1, 1)]), means, dict.fromkeys(means, 5), 0.1, 1.0)
    zones = Zones("any", "64x64 native", {"gate": gate}).to_dict()
    classes = a_classes().to_dict()
    run(spec_of(clip, changed=True, zones=zones, classes=classes))
    watch("cam").until_state("ended")
    assert inference.calls
    asked = [(call.settings.changed, call.settings.zones, call.settings.classes) for call in inference.calls]
    assert asked == [(True, zones, classes)] * len(asked)


def test_the_status_names_rules_that_can_make_no_event_until_a_zone_is_learned(
    client, run, inference, watch, clip
):
    inference.hold(0)
    rule = {"name": "open", "what": "zone", "zone": "gate", "state": "open"}
    spec = spec_of(clip, rules=[rule])
    reading = run(spec)
    watch("cam").until_state("running")
    why = "there are no zones (--zones FILE), and it is about gate"
    assert StreamStore(client).status("cam").idle_rules == [f"rule open can make no event: {why}"]
    means = dict(zip(("open", "closed"), np.eye(2, dtype=np.float32), strict=True))
    gate = Zone(Polygon.of([(0, 0), (1, 0), (1, 1)]), means, dict.fromkeys(means, 5), 0.1, 1.0)
    zones = Zones("any", "64x64 native", {"gate": gate}).to_dict()
    assert reading.retune(spec.model_copy(update={"zones": zones, "revision": 1}))
    assert StreamStore(client).status("cam").idle_rules == []


def test_a_message_holds_pictures_of_one_size(run, inference, watch, tmp_path):
    source = make_clips.changing(tmp_path / "camera.ts", [(160, 96), (96, 160), (128, 128)])
    run(spec_of(source, fit="native"))
    watch("cam").until_state("ended")
    shapes = [call.images.shape[1:3] for call in inference.calls]
    assert list(dict.fromkeys(shapes)) == [(16, 32), (32, 16), (32, 32)]
    assert [result["frame"] for result in watch("cam").results()] == list(range(18))


def test_a_fit_or_size_that_the_model_does_not_take_fails_the_stream_with_the_reason(run, watch, clip):
    run(spec_of(clip, size=40))
    failed = watch("cam").until_state("failed")
    assert failed["reason"] == "--size 40 is not in whole patches of 16 pixels; use 32x32"


def test_states_are_told_in_order(run, watch, clip):
    run(spec_of(clip))
    follow = watch("cam")
    assert [follow.until_state(state)["state"] for state in ("starting", "running", "ended")]


@pytest.mark.parametrize("fps", [None, 3.0, 7.0])
def test_a_file_goes_on_exactly_where_its_results_end(client, run, inference, watch, clip, fps):
    whole = run(spec_of(clip, fps=fps))
    watch("cam").until_state("ended")
    whole.join(30)
    assert whole.outcome.kind == "ended"
    expected = watch("cam").results()
    client.flushall()
    middle = len(expected) // 8 * 4
    inference.hold(middle)
    first = run(spec_of(clip, fps=fps), micro_batch=4)
    watch("cam").until_frame(middle - 1)
    stop(first, client)
    run(spec_of(clip, fps=fps), replica="two")
    # What the first had under way is refused now.
    inference.release()
    watch("cam").until_state("ended")
    assert watch("cam").results() == expected
    assert StreamStore(client).status("cam").restarts == 1


def test_a_looping_file_goes_on_in_its_round_and_in_time(client, run, watch, tmp_path):
    clip = make_clips.steady(tmp_path / "short.mp4", frames=7)
    spec = spec_of(clip, loop=True, fps=5)
    first = run(spec, micro_batch=2)
    watch("cam").until_frame(9)
    stop(first, client)
    durable = len(watch("cam").results())
    second = run(spec, micro_batch=3)
    watch("cam").until_frame(durable + 9)
    stop(second, client)
    one_round = pictures(clip)[::2]
    with av.open(str(clip)) as container:
        length_s = 0.6 + float(1 / container.streams.video[0].average_rate)
    results = watch("cam").results()
    assert [result["frame"] for result in results] == list(range(len(results)))
    assert read(results) == [
        (round(pts_s + length_s * (n // 4), 6), pixels)
        for n in range(len(results))
        for pts_s, pixels in [one_round[n % 4]]
    ]


def test_a_file_read_on_at_another_rate_goes_on_from_the_same_time(client, run, inference, watch, clip):
    inference.hold(8)
    first = run(spec_of(clip, fps=2), micro_batch=2)
    watch("cam").until_frame(7)
    stop(first, client)
    before = watch("cam").results()
    run(spec_of(clip, fps=5, revision=1))
    inference.release()
    watch("cam").until_state("ended")
    after = watch("cam").results()[len(before) :]
    assert [result["frame"] for result in after] == list(range(len(before), len(before) + len(after)))
    expected = [n / 5 for n in range(50) if n / 5 > before[-1]["pts_s"]]
    assert [result["pts_s"] for result in after] == pytest.approx(expected)
    # And by the count of frames again from there.
    assert StreamStore(client).status("cam").loop_first == len(before) + len(after) - 50


def test_another_source_begins_at_its_start_and_goes_on_counting(client, run, watch, clip, tmp_path):
    run(spec_of(clip))
    watch("cam").until_state("ended")
    client.delete(StreamKeys("cam").lease, StreamKeys("cam").events)
    other = make_clips.steady(tmp_path / "other.mp4", frames=5)
    run(spec_of(other, revision=1))
    watch("cam").until_state("ended")
    assert read(watch("cam").results()[100:]) == pictures(other)


@pytest.mark.parametrize(("asked", "used"), [(None, "full"), ("inter", "inter")])
def test_where_no_tokenizer_was_asked_for_the_model_gets_one_that_it_takes(
    client, run, inference, watch, clip, asked, used
):
    # The model takes full only; whether it refuses another one is Inference's to say.
    run(spec_of(clip, tokenizer=asked, fps=1))
    watch("cam").until_state("ended")

    assert {batch.settings.tokenizer for batch in inference.calls} == {used}
    assert StreamStore(client).status("cam").tokenizer == used


def test_a_file_that_does_not_exist_fails_for_good(run, watch, tmp_path):
    failing = run(spec_of(tmp_path / "none.mp4"))
    assert "No such file" in watch("cam").until_state("failed")["reason"]
    failing.join(30)
    assert failing.outcome.kind == "failed"


def test_a_camera_that_cannot_be_reached_is_to_be_tried_again_and_its_password_is_not_told(
    run, watch, unused_port
):
    failing = run(spec_of(f"rtsp://viewer:secret@127.0.0.1:{unused_port}/clip"))
    reason = watch("cam").until_state("failed")["reason"]
    assert "refused" in reason
    assert "secret" not in reason
    failing.join(30)
    assert failing.outcome.kind == "retry"


def test_a_cut_off_file_says_so_when_it_ends(run, watch, clip, tmp_path):
    whole = make_clips.index_first(tmp_path / "whole.mp4", clip)
    run(spec_of(make_clips.cut_off(tmp_path / "cut.mp4", whole, 0.6)))
    assert "ends before its end" in watch("cam").until_state("ended")["reason"]


def test_a_stream_without_times_cannot_be_sampled_by_rate_and_fails(run, watch, tmp_path):
    raw = make_clips.steady(tmp_path / "raw.h264", frames=5)
    run(spec_of(raw, fps=2, loop=True))
    assert "times" in watch("cam").until_state("failed")["reason"]


def test_a_fenced_run_ends_and_writes_nothing_more(client, run, inference, watch, clip):
    inference.hold()
    fenced = run(spec_of(clip), lease_s=0.2)
    assert inference.called.acquire(timeout=30)
    # Somebody else had the lease.
    client.delete(StreamKeys("cam").lease)
    RedisLease(client, StreamKeys("cam")).acquire()
    before = client.xlen(StreamKeys("cam").events)
    inference.release()
    fenced.join(30)
    assert fenced.outcome.kind == "lost"
    assert client.xlen(StreamKeys("cam").events) == before
    assert watch("cam").results() == []


def test_a_run_with_a_new_fence_sends_again_what_was_refused(client, run, inference, watch, clip):
    inference.hold()
    one = run(spec_of(clip))
    assert inference.called.acquire(timeout=30)
    client.delete(StreamKeys("cam").lease)
    fence = RedisLease(client, StreamKeys("cam")).acquire()
    one.go_on(fence)
    inference.release()
    watch("cam").until_state("ended")
    assert [result["frame"] for result in watch("cam").results()] == list(range(100))


def test_what_a_file_loses_after_its_last_frame_is_counted(client, run, watch, clip, tmp_path):
    broken = make_clips.damaged(tmp_path / "broken.mp4", clip, range(90, 100))
    run(spec_of(broken))
    watch("cam").until_state("ended")
    results = watch("cam").results()
    told = sum(result["dropped"].get("corrupt", 0) for result in results)
    # What results tell of is summed up by whoever writes them; here nobody does.
    rest = StreamStore(client).status("cam").dropped["corrupt"]
    assert rest > 0
    assert len(results) + told + rest == 100


def test_a_live_source_taken_over_counts_one_gap_and_goes_on_in_time(client, run, watch, rtsp_server):
    spec = spec_of(rtsp_server.url)
    first = run(spec)
    watch("cam").until_frame(3)
    stop(first, client)
    before = watch("cam").results()
    run(spec, replica="two")
    watch("cam").until_frame(len(before) + 6)
    after = watch("cam").results()[len(before) :]
    assert after[0]["frame"] == len(before)
    assert after[0]["dropped"]["gap"] == 1
    assert "gap" not in after[1]["dropped"]
    # The first pictures after joining may have no time yet.
    earlier, later = ([r["pts_s"] for r in results if r["pts_s"] is not None] for results in (before, after))
    assert later[0] > earlier[-1]


def test_a_lost_camera_is_reconnecting_then_running(run, watch, rtsp_server):
    run(spec_of(rtsp_server.url), stall_timeout_s=1.0)
    follow = watch("cam")
    follow.until_state("running")
    follow.until_frame(0)
    rtsp_server.kill()
    assert "trying again" in follow.until_state("reconnecting")["reason"]
    rtsp_server.start()
    follow.until_state("running", within_s=60)


def test_a_stream_ends_when_its_sinks_have_everything(run, watch, clip, tmp_path):
    out = tmp_path / "results.jsonl"
    run(spec_of(clip, sinks=[{"kind": "jsonl", "path": str(out)}]))
    watch("cam").until_state("ended")
    lines = out.read_text().splitlines()
    assert [json.loads(line) for line in lines] == watch("cam").results()
    assert len(lines) == 100
