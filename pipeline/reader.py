"""Reads a source in a thread of its own into a bounded queue of frames that are ready for a model."""

from __future__ import annotations

import atexit
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal, Protocol

from pipeline.errors import UsageError
from pipeline.frame import Decoded, Frame
from pipeline.preprocess import Preprocessor
from pipeline.sampling import RateSampler

Policy = Literal["block", "drop-oldest"]
# A source that does not let go of its peer in time is left to its daemon thread.
_JOIN_S = 2.0
# Behind its clock by more, a paced source goes on from where it is instead of rushing to catch up.
_LATE_S = 1.0
# Nor does it wait for longer from one frame to the next: longer gaps are cut short.
_LONGEST_WAIT_S = 2.0


class FrameSource(Protocol):
    """What a reader needs of a source."""

    def frames(self) -> Iterator[Decoded]:
        """Yields decoded pictures; called once, in the reader's thread."""

    def take_dropped(self) -> dict[str, int]:
        """What the source dropped since the last call, by reason."""

    def close(self) -> None:
        """Ends `frames` promptly; called from any thread, also more than once."""


class FrameReader:
    """Samples and preprocesses a source ahead of inference; starts at once.

    One thread takes batches; `stop` may be called from any. Memory is bounded by `capacity` frames.

    Args:
        source: what to read; closed when it has been read.
        preprocessor: makes the model inputs; used by the reader's thread alone.
        fps: frames per second to take, see `RateSampler`; None takes every frame.
        policy: what to do when the queue is full. "block" waits, so nothing is lost; "drop-oldest" drops the
            frame that has waited longest, counted as "late".
        capacity: most frames that wait in the queue.
        max_frames: end after so many frames were delivered; None for no end.
        skip: sampled frames to pass over first, without preprocessing; what was dropped among them is not
            counted again.
        after_s: pass over sampled frames up to this presentation time too.
        realtime: deliver frames no faster than their presentation times say, and as soon as they are there;
            gaps of more than two seconds are cut short to that.

    Attributes:
        passed: sampled frames passed over so far; final once a frame was delivered.
        end_s: latest presentation time so far, of frames sampled or not; None before one has a time.

    Raises:
        UsageError: an argument that cannot be right.
    """

    def __init__(
        self,
        source: FrameSource,
        preprocessor: Preprocessor,
        fps: float | None = None,
        policy: Policy = "block",
        capacity: int = 32,
        max_frames: int | None = None,
        skip: int = 0,
        after_s: float | None = None,
        realtime: bool = False,
    ) -> None:
        if policy not in ("block", "drop-oldest"):
            raise UsageError(f"there is no policy {policy!r}: give block or drop-oldest")
        if capacity < 1:
            raise UsageError(f"a queue cannot hold {capacity} frames: give a capacity of at least 1")
        if max_frames is not None and max_frames < 1:
            raise UsageError(f"cannot read {max_frames} frames: give a number of frames of at least 1")
        if skip < 0:
            raise UsageError(f"cannot pass over {skip} frames: give a number of frames of at least 0")
        self.passed = 0
        self.end_s: float | None = None
        self._source = source
        self._preprocessor = preprocessor
        self._sampler = RateSampler(fps)
        self._drops_oldest = policy == "drop-oldest"
        self._capacity = capacity
        self._max_frames = max_frames
        self._skip = skip
        self._after_s = after_s
        self._realtime = realtime
        # What is awaited as it comes is not made to wait for a full batch.
        self._eager = realtime or self._drops_oldest
        # `time.monotonic()` at the presentation time 0, while paced.
        self._origin_s: float | None = None

        # Counts since the last frame queued; for the reader's thread alone.
        self._missed: Counter[str] = Counter()
        lock = threading.Lock()
        self._filled = threading.Condition(lock)
        self._emptied = threading.Condition(lock)
        # All below is guarded by the lock.
        self._queue: deque[Frame] = deque()
        self._needed = 1
        self._delivered = 0
        # Counts that went out of the queue with a frame; they belong to the next frame delivered.
        self._dropped: Counter[str] = Counter()
        # Counts after the last frame queued.
        self._trailing: Counter[str] = Counter()
        self._ended = False
        self._error: Exception | None = None

        self._thread = threading.Thread(target=self._read, name="vwt-reader", daemon=True)
        # A daemon thread that is inside torch when the interpreter ends aborts the process.
        atexit.register(self.stop)
        self._thread.start()

    def batch(
        self,
        size: int,
        *,
        wait_s: float = 0.0,
        timeout: float | None = None,
        pick: Callable[[Sequence[float | None]], int] | None = None,
    ) -> list[Frame] | None:
        """Takes the next frames, oldest first.

        With "block" it waits for a full batch or the end. With "drop-oldest", or in real time, it waits for
        one frame and then for more until the batch is full or that frame has waited `wait_s` since it was
        ready. A batch never exceeds the queue's capacity.

        Args:
            size: most frames to take.
            wait_s: how long the first frame may wait for others, in seconds.
            timeout: give up after so many seconds without a batch; None waits for ever.
            pick: says which of the frames that wait comes first, by their presentation times, oldest first;
                those before it are dropped as "drop-oldest" does. None for the oldest.

        Returns:
            Frames; an empty list when the time was up, nothing is lost then; None at the end of the stream.

        Raises:
            Exception: what ended the source, once all frames before it were taken.
        """
        size = min(size, self._capacity)
        with self._filled:
            if not self._wait(1 if self._eager else size, timeout):
                return []
            if self._eager and self._queue:
                self._wait(size, self._queue[0].ready_at + wait_s - time.monotonic())
            if not self._queue:
                if self._error is not None:
                    raise self._error
                return None
            first = 0 if pick is None else pick([frame.times.pts_s for frame in self._queue])
            for _ in range(first):
                self._drop_oldest()
            frames = [self._queue.popleft() for _ in range(min(size, len(self._queue)))]
            if self._dropped:
                frames[0] = replace(frames[0], dropped=dict(self._dropped + Counter(frames[0].dropped)))
                self._dropped.clear()
            self._delivered += len(frames)
            self._emptied.notify()
        return frames

    def dropped_at_end(self) -> dict[str, int]:
        """What was dropped after the last delivered frame, by reason; final once the stream has ended.

        With `Frame.dropped` of all delivered frames it adds up to all that was dropped. Frames that were read
        ahead when the reader was stopped are not drops.
        """
        with self._filled:
            return dict(self._dropped + self._trailing)

    def stop(self) -> None:
        """Ends the stream: closes the source and forgets what is queued; `batch` returns None from now on."""
        with self._filled:
            self._ended = True
            for frame in self._queue:
                self._dropped.update(frame.dropped)
            self._queue.clear()
            self._error = None
            self._filled.notify()
            self._emptied.notify()
        self._source.close()
        self._thread.join(_JOIN_S)
        atexit.unregister(self.stop)

    def _wait(self, needed: int, timeout: float | None) -> bool:
        """Waits for so many frames or the end; the reader's thread wakes us once, when they are there."""
        self._needed = needed
        return self._filled.wait_for(lambda: self._ended or len(self._queue) >= needed, timeout)

    def _read(self) -> None:
        error: Exception | None = None
        try:
            try:
                self._fill()
            finally:
                self._source.close()
        except Exception as caught:
            error = caught
        self._missed.update(self._source.take_dropped())
        with self._filled:
            # After a stop an error is what stopping did to the source.
            if not self._ended:
                self._ended, self._error = True, error
            self._trailing.update(self._missed)
            self._filled.notify()
        atexit.unregister(self.stop)

    def _fill(self) -> None:
        for decoded in self._source.frames():
            pts_s = decoded.times.pts_s
            if pts_s is not None:
                self._note_end(pts_s)
            if decoded.picture is None:
                continue
            # Asked of every frame, so that it knows the grid once the source no longer decides.
            if not (self._sampler.wants(pts_s) or decoded.sampled):
                if pts_s is None:
                    self._missed["no_pts"] += 1
                continue
            if self._is_behind(pts_s):
                self.passed += 1
                self._missed.clear()
                self._source.take_dropped()
                continue
            if self._realtime and pts_s is not None:
                self._wait_until_due(pts_s)
            # Before it is made ready: what is dropped meanwhile came after it.
            self._missed.update(self._source.take_dropped())
            started = time.monotonic()
            image, geometry, picture = self._preprocessor(decoded.picture, decoded.display)
            ready = time.monotonic()
            decode_ms = decoded.times.decode_ms + (ready - started) * 1e3
            frame = Frame(
                times=replace(decoded.times, decode_ms=decode_ms),
                image=image,
                geometry=geometry,
                picture=picture,
                ready_at=ready,
                dropped=dict(self._missed),
            )
            self._missed.clear()
            if not self._put(frame):
                return

    def _note_end(self, pts_s: float) -> None:
        # A frame that was not decoded may come before one that is shown earlier.
        end_s = pts_s if self.end_s is None else self.end_s
        if self._origin_s is not None:
            self._origin_s -= max(pts_s - end_s - _LONGEST_WAIT_S, 0.0)
        self.end_s = max(end_s, pts_s)

    def _is_behind(self, pts_s: float | None) -> bool:
        """Whether a picture lies before the point to resume at."""
        if self.passed < self._skip:
            return True
        return self._after_s is not None and pts_s is not None and pts_s <= self._after_s

    def _wait_until_due(self, pts_s: float) -> None:
        now_s = time.monotonic()
        if self._origin_s is None or pts_s + self._origin_s < now_s - _LATE_S:
            self._origin_s = now_s - pts_s
            return
        with self._filled:
            self._emptied.wait_for(lambda: self._ended, pts_s + self._origin_s - now_s)

    def _put(self, frame: Frame) -> bool:
        """Queues a frame; False when no more are wanted."""
        with self._filled:
            if self._drops_oldest:
                if len(self._queue) == self._capacity:
                    self._drop_oldest()
            else:
                self._emptied.wait_for(lambda: self._ended or len(self._queue) < self._capacity)
            if self._ended:
                self._dropped.update(frame.dropped)
                return False
            self._queue.append(frame)
            if len(self._queue) >= self._needed:
                self._filled.notify()
            return self._max_frames is None or self._delivered + len(self._queue) < self._max_frames

    def _drop_oldest(self) -> None:
        late = self._queue.popleft()
        self._dropped.update(late.dropped, late=1)
