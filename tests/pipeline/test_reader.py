import itertools
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import av
import numpy as np
import pytest

from pipeline.errors import SourceError, UsageError
from pipeline.frame import Decoded, Frame, FrameTimes
from pipeline.input_spec import InputSpec
from pipeline.preprocess import Preprocessor
from pipeline.reader import FrameReader
from pipeline.sources.spec import parse_source

FRAMES = 120  # in the clip carphone, at 29.97 a second


class Clip:
    """The clip carphone as a source that says how far it was read and can pause, fail and drop frames."""

    def __init__(
        self,
        pause_after: int | None = None,
        fail_after: int | None = None,
        drops: dict[int, dict[str, int]] | None = None,
        timeless: tuple[int, ...] = (),
    ) -> None:
        self.pause_after, self.fail_after, self.timeless = pause_after, fail_after, timeless
        self.drops = drops or {}
        self.given = 0
        self.asked_for = {n: threading.Event() for n in range(FRAMES + 1)}
        self.resume = threading.Event()
        self.closed = threading.Event()
        self.pending: Counter[str] = Counter()

    def frames(self) -> Iterator[Decoded]:
        with av.open(parse_source("sample:carphone").location) as container:
            for n, picture in enumerate(container.decode(video=0)):
                self.asked_for[n].set()
                self.pending.update(self.drops.get(n, {}))
                if n == self.pause_after:
                    self.resume.wait()
                if n == self.fail_after:
                    raise SourceError("the camera went away: check its cable")
                if self.closed.is_set():
                    return
                self.given += 1
                pts_s = None if n in self.timeless else picture.time
                yield Decoded(FrameTimes(pts_s=pts_s, captured_at=1e9 + n, decode_ms=1000.0), picture)
        self.pending.update(self.drops.get(FRAMES, {}))
        self.asked_for[FRAMES].set()

    def take_dropped(self) -> dict[str, int]:
        taken, self.pending = dict(self.pending), Counter()
        return taken

    def close(self) -> None:
        self.closed.set()
        self.resume.set()


@pytest.fixture
def preprocess() -> Preprocessor:
    return Preprocessor(InputSpec(64, 64))


def drain(reader: FrameReader, size: int = 8) -> list[Frame]:
    return list(itertools.chain.from_iterable(iter(lambda: reader.batch(size), None)))


def numbers(frames: list[Frame]) -> list[int]:
    """Positions of frames in the clip."""
    return [round(frame.times.captured_at - 1e9) for frame in frames]


def all_dropped(reader: FrameReader, frames: list[Frame]) -> Counter[str]:
    total = Counter(reader.dropped_at_end())
    for frame in frames:
        total.update(frame.dropped)
    return total


def reader_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "vwt-reader"]


def test_blocking_delivers_every_frame_in_order_and_in_full_batches(preprocess):
    reader = FrameReader(Clip(), preprocess, capacity=10)
    batches = list(iter(lambda: reader.batch(7), None))
    assert [len(batch) for batch in batches] == [7] * 17 + [1]
    assert numbers([frame for batch in batches for frame in batch]) == list(range(FRAMES))
    assert reader.batch(7) is None
    assert all_dropped(reader, [frame for batch in batches for frame in batch]) == {}


def test_a_batch_larger_than_the_queue_comes_as_large_as_the_queue(preprocess):
    reader = FrameReader(Clip(), preprocess, capacity=4)
    assert len(reader.batch(16)) == 4
    reader.stop()


def test_a_frame_carries_what_the_source_said_of_it():
    clip = Clip()
    began = time.monotonic()
    frames = drain(FrameReader(clip, Preprocessor(InputSpec(64, 64), keep_picture=True)))
    assert clip.closed.is_set()
    with av.open(parse_source("sample:carphone").location) as container:
        for frame, picture in zip(frames, container.decode(video=0), strict=True):
            image, geometry, upright = Preprocessor(InputSpec(64, 64), keep_picture=True)(picture)
            assert frame.times.pts_s == picture.time
            assert np.array_equal(frame.image, image)
            assert np.array_equal(frame.picture, upright)
            assert frame.geometry == geometry
            assert frame.times.decode_ms > 1000.0
    ready = [began, *(frame.ready_at for frame in frames), time.monotonic()]
    assert ready == sorted(ready)


def test_frames_that_sampling_skips_are_never_preprocessed(preprocess):
    made = []

    def counting(picture, display):
        made.append(picture)
        return preprocess(picture, display)

    frames = drain(FrameReader(Clip(), counting, fps=5))
    assert numbers(frames) == [n * 6 for n in range(20)]
    assert len(made) == 20


def test_dropping_oldest_keeps_the_newest_and_counts_the_rest(preprocess):
    clip = Clip()
    reader = FrameReader(clip, preprocess, policy="drop-oldest", capacity=4)
    assert clip.closed.wait(60)
    frames = drain(reader)
    assert numbers(frames) == [116, 117, 118, 119]
    assert [dict(frame.dropped) for frame in frames] == [{"late": 116}, {}, {}, {}]
    assert reader.dropped_at_end() == {}


def test_counts_are_exact_whatever_the_consumers_pace(preprocess):
    pace = random.Random(0)
    for capacity in (1, 3, 16):
        reader = FrameReader(Clip(), preprocess, policy="drop-oldest", capacity=capacity)
        frames: list[Frame] = []
        while (batch := reader.batch(pace.randint(1, 8))) is not None:
            frames += batch
            time.sleep(pace.choice([0, 0.001, 0.01]))
        seen = numbers(frames)
        assert seen == sorted(set(seen))
        assert seen[-1] == FRAMES - 1
        gaps = [later - earlier - 1 for earlier, later in itertools.pairwise([-1, *seen])]
        assert [frame.dropped.get("late", 0) for frame in frames] == gaps


def test_the_sources_own_drops_come_with_the_next_frame(preprocess):
    clip = Clip(drops={0: {"corrupt": 1}, 5: {"late": 2, "gap": 1}, FRAMES: {"late": 4}})
    reader = FrameReader(clip, preprocess)
    frames = drain(reader)
    assert {n: dict(frame.dropped) for n, frame in enumerate(frames) if frame.dropped} == {
        0: {"corrupt": 1},
        5: {"late": 2, "gap": 1},
    }
    assert reader.dropped_at_end() == {"late": 4}


def test_the_sources_drops_survive_the_frame_they_came_with(preprocess):
    clip = Clip(drops={0: {"corrupt": 3}, 50: {"late": 2}, 118: {"gap": 1}})
    reader = FrameReader(clip, preprocess, policy="drop-oldest", capacity=2)
    assert clip.closed.wait(60)
    first, second = drain(reader)
    assert first.dropped == {"corrupt": 3, "late": 118 + 2, "gap": 1}
    assert second.dropped == {}


def test_frames_without_a_time_are_delivered_when_every_frame_is_taken(preprocess):
    frames = drain(FrameReader(Clip(timeless=(0, 1)), preprocess))
    assert [frame.times.pts_s for frame in frames[:2]] == [None, None]
    assert len(frames) == FRAMES


def test_frames_without_a_time_count_as_dropped_when_sampling_by_rate(preprocess):
    reader = FrameReader(Clip(timeless=(0, 1, 30, 119)), preprocess, fps=1)
    frames = drain(reader)
    assert numbers(frames) == [2, 32, 62, 92]
    assert [dict(frame.dropped) for frame in frames] == [{"no_pts": 2}, {"no_pts": 1}, {}, {}]
    assert reader.dropped_at_end() == {"no_pts": 1}


@pytest.mark.parametrize("policy", ["block", "drop-oldest"])
def test_the_sources_error_comes_after_all_frames_before_it(preprocess, policy):
    reader = FrameReader(Clip(fail_after=10, drops={10: {"corrupt": 1}}), preprocess, policy=policy)
    frames: list[Frame] = []
    while len(frames) < 10:
        frames += reader.batch(4)
    assert numbers(frames) == list(range(10))
    with pytest.raises(SourceError, match="the camera went away"):
        reader.batch(4)
    assert reader.dropped_at_end() == {"corrupt": 1}
    with pytest.raises(SourceError, match="the camera went away"):
        reader.batch(4)


def test_a_picture_that_cannot_be_preprocessed_ends_the_stream_with_its_error(preprocess):
    def failing(picture, display):
        return preprocess(av.VideoFrame(16, 16, "gray32le") if picture.pts >= 3 else picture, display)

    reader = FrameReader(Clip(), failing)
    assert len(reader.batch(8)) > 0
    with pytest.raises(SourceError, match="gray32le"):
        reader.batch(8)


def test_blocking_reads_no_further_ahead_than_the_queue_holds(preprocess):
    clip = Clip()
    reader = FrameReader(clip, preprocess, capacity=5)
    assert clip.asked_for[5].wait(60)
    # The sixth frame waits for room; a seventh is not asked for.
    assert not clip.asked_for[6].wait(0.2)
    assert numbers(reader.batch(1)) == [0]
    assert clip.asked_for[6].wait(60)
    assert not clip.asked_for[7].wait(0.2)
    reader.stop()


@pytest.mark.parametrize("policy", ["block", "drop-oldest"])
def test_a_timeout_returns_no_frames_and_loses_none(preprocess, policy):
    clip = Clip(pause_after=0)
    reader = FrameReader(clip, preprocess, policy=policy, capacity=FRAMES)
    assert reader.batch(4, timeout=0.01) == []
    assert reader.batch(4, timeout=0) == []
    clip.resume.set()
    assert numbers(drain(reader)) == list(range(FRAMES))


def test_blocking_keeps_part_of_a_batch_until_it_is_full(preprocess):
    clip = Clip(pause_after=3)
    reader = FrameReader(clip, preprocess)
    assert clip.asked_for[3].wait(60)
    assert reader.batch(4, timeout=0.05) == []
    clip.resume.set()
    assert numbers(reader.batch(4)) == [0, 1, 2, 3]
    reader.stop()


def test_dropping_oldest_takes_what_is_there_when_the_wait_is_over(preprocess):
    clip = Clip(pause_after=3)
    reader = FrameReader(clip, preprocess, policy="drop-oldest")
    assert clip.asked_for[3].wait(60)
    assert numbers(reader.batch(8, wait_s=0.01)) == [0, 1, 2]
    reader.stop()


def test_dropping_oldest_returns_as_soon_as_the_batch_is_full(preprocess):
    reader = FrameReader(Clip(), preprocess, policy="drop-oldest", capacity=FRAMES)
    assert numbers(reader.batch(4, wait_s=10_000)) == [0, 1, 2, 3]
    reader.stop()


def test_dropping_oldest_does_not_wait_for_more_at_the_end(preprocess):
    reader = FrameReader(Clip(), preprocess, policy="drop-oldest", capacity=FRAMES, max_frames=3)
    assert numbers(reader.batch(8, wait_s=10_000)) == [0, 1, 2]
    assert reader.batch(8) is None


@pytest.mark.parametrize("policy", ["block", "drop-oldest"])
def test_max_frames_counts_frames_delivered(preprocess, policy):
    clip = Clip()
    reader = FrameReader(clip, preprocess, policy=policy, capacity=4, max_frames=10)
    frames = drain(reader, size=3)
    assert len(frames) == 10
    assert clip.closed.is_set()
    # What was sampled is either delivered or counted as late; nothing was read in vain.
    assert clip.given == 10 + all_dropped(reader, frames)["late"]


def test_stopping_ends_a_reader_that_waits_for_room(preprocess):
    clip = Clip(drops={1: {"corrupt": 2}})
    reader = FrameReader(clip, preprocess, capacity=3)
    assert clip.asked_for[3].wait(60)
    reader.stop()
    assert clip.closed.is_set()
    assert reader_threads() == []
    assert reader.batch(3) is None
    assert reader.dropped_at_end() == {"corrupt": 2}


@pytest.mark.parametrize("policy", ["block", "drop-oldest"])
def test_stopping_wakes_a_consumer_and_a_source_that_wait_for_frames(preprocess, policy):
    clip = Clip(pause_after=0)
    reader = FrameReader(clip, preprocess, policy=policy)
    got: list[list[Frame] | None] = []
    consumer = threading.Thread(target=lambda: got.append(reader.batch(4)))
    consumer.start()
    assert clip.asked_for[0].wait(60)
    reader.stop()
    consumer.join(60)
    assert got == [None]
    assert reader_threads() == []


def test_an_error_that_stopping_caused_is_not_raised(preprocess):
    clip = Clip(pause_after=2, fail_after=2)
    reader = FrameReader(clip, preprocess)
    assert clip.asked_for[2].wait(60)
    reader.stop()
    assert reader.batch(1) is None


def test_stopping_twice_or_after_the_end_is_harmless(preprocess):
    reader = FrameReader(Clip(), preprocess)
    assert len(drain(reader)) == FRAMES
    reader.stop()
    reader.stop()
    assert reader.batch(1) is None


def test_a_program_may_end_without_stopping_its_readers():
    program = """if True:
        import av
        from pipeline.frame import Decoded, FrameTimes
        from pipeline.input_spec import InputSpec
        from pipeline.preprocess import Preprocessor
        from pipeline.reader import FrameReader

        class Endless:
            closed = False

            def frames(self):
                while not self.closed:
                    yield Decoded(FrameTimes(pts_s=None), av.VideoFrame(1280, 720, "yuv420p"))

            def take_dropped(self):
                return {}

            def close(self):
                self.closed = True

        for _ in range(4):
            reader = FrameReader(Endless(), Preprocessor(InputSpec(224, 224)), policy="drop-oldest")
            reader.batch(1)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "wrong", [{"policy": "drop"}, {"capacity": 0}, {"max_frames": 0}, {"fps": 0}, {"skip": -1}]
)
def test_arguments_that_cannot_be_right_are_refused_before_reading(preprocess, wrong):
    clip = Clip()
    with pytest.raises(UsageError, match=r": give "):
        FrameReader(clip, preprocess, **wrong)
    assert not clip.asked_for[0].is_set()


@pytest.mark.parametrize("policy", ["block", "drop-oldest"])
def test_skipped_frames_are_passed_over_without_preprocessing(preprocess, policy):
    made = []

    def counting(picture, display):
        made.append(picture)
        return preprocess(picture, display)

    reader = FrameReader(Clip(), counting, policy=policy, capacity=FRAMES, skip=100)
    assert numbers(drain(reader)) == list(range(100, FRAMES))
    assert (len(made), reader.passed) == (20, 100)


def test_skipping_counts_sampled_frames(preprocess):
    reader = FrameReader(Clip(), preprocess, fps=5, skip=3)
    assert numbers(drain(reader)) == [n * 6 for n in range(3, 20)]


def test_what_was_dropped_among_skipped_frames_is_not_counted_again(preprocess):
    reader = FrameReader(Clip(drops={3: {"corrupt": 1}, 11: {"corrupt": 2}}), preprocess, skip=10)
    frames = drain(reader)
    assert all_dropped(reader, frames) == {"corrupt": 2}
    assert frames[1].dropped == {"corrupt": 2}


def test_skipping_more_than_there_is_leaves_nothing(preprocess):
    reader = FrameReader(Clip(), preprocess, skip=FRAMES + 5)
    assert drain(reader) == []
    assert reader.passed == FRAMES


def test_frames_up_to_a_time_are_passed_over(preprocess):
    reader = FrameReader(Clip(), preprocess, fps=5, after_s=1.0)
    frames = drain(reader)
    assert numbers(frames) == [n * 6 for n in range(5, 20)]
    assert frames[0].times.pts_s > 1.0
    assert reader.passed == 5


def test_the_end_is_the_time_of_the_last_picture_sampled_or_not(preprocess):
    reader = FrameReader(Clip(), preprocess, fps=1)
    assert drain(reader)[-1].times.pts_s < 3.1
    assert reader.end_s == pytest.approx(119 / 29.97, abs=1e-3)


def test_in_real_time_frames_come_no_earlier_than_they_are_due(preprocess):
    began = time.monotonic()
    reader = FrameReader(Clip(), preprocess, fps=10, realtime=True)
    for _ in range(8):
        (frame,) = reader.batch(1)
        # Nothing but waiting can have made it this late.
        assert frame.ready_at - began >= frame.times.pts_s
    reader.stop()


def test_in_real_time_skipped_frames_are_not_waited_for(preprocess):
    class Slow(Clip):
        """A picture every half a minute."""

        def frames(self):
            return (
                replace(decoded, times=replace(decoded.times, pts_s=decoded.times.pts_s * 1000))
                for decoded in super().frames()
            )

    assert numbers(drain(FrameReader(Slow(), preprocess, realtime=True, skip=119))) == [119]


def test_in_real_time_a_batch_does_not_wait_to_be_full(preprocess):
    reader = FrameReader(Clip(pause_after=3), preprocess, realtime=True)
    frames: list[Frame] = []
    while len(frames) < 3:
        frames += reader.batch(8)
    assert numbers(frames) == [0, 1, 2]
    reader.stop()


def test_stopping_ends_a_reader_that_waits_for_the_time(preprocess):
    clip = Clip()
    reader = FrameReader(clip, preprocess, fps=0.3, realtime=True)
    assert numbers(reader.batch(1)) == [0]
    reader.stop()
    assert reader_threads() == []


def test_in_real_time_a_stamp_far_ahead_is_not_waited_for(preprocess, monkeypatch):
    from pipeline import reader as module

    monkeypatch.setattr(module, "_LONGEST_WAIT_S", 0.2)

    class Jumping(Clip):
        def frames(self):
            for n, decoded in zip(range(4), super().frames(), strict=False):
                pts_s = 0.01 * n if n < 2 else 36_000 + 0.01 * n
                yield replace(decoded, times=replace(decoded.times, pts_s=pts_s))

    reader = FrameReader(Jumping(), preprocess, realtime=True)
    # An hour would be waited for else; a second is far more than is needed.
    began = time.monotonic()
    assert numbers(drain(reader)) == [0, 1, 2, 3]
    assert time.monotonic() - began > 0.2
