"""One pass over an open source: its frames, ready to be sent, and how far it has come."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeline.errors import SourceError
from pipeline.frame import Frame, FrameTimes
from pipeline.input_spec import InputSpec
from pipeline.preprocess import Preprocessor
from pipeline.reader import FrameReader
from pipeline.sources import Source
from workers.contract.messages import FrameFacts
from workers.contract.stream_spec import StreamSpec
from workers.ingest.evenly import Evenly
from workers.ingest.message_size import MessageSize
from workers.ingest.overload import Overload
from workers.ingest.position import Position
from workers.ingest.sender import LOOK_UP_S

# A share is told anew after so long.
_SHARE_EVERY_S = 10.0
# Where a file states no rate, a picture is taken to be shown for so long.
_PICTURE_S = 0.04


class Round:
    """Reads a source from where its stream goes on; starts at once. For one thread.

    Args:
        spec: of the stream.
        source: open.
        model_input: what frames are made into.
        position: where the stream goes on.
        most: frames in a message at most.
        overload: of the stream, which lasts from round to round.
        missed: dropped before and told with no frame yet, by reason; goes with the first one.

    Attributes:
        position: after the frames given out so far.
        live: whether the source comes at its own pace.
        drops: whether frames that are late are dropped.
    """

    def __init__(
        self,
        spec: StreamSpec,
        source: Source,
        model_input: InputSpec,
        position: Position,
        most: int,
        overload: Overload,
        missed: Mapping[str, int],
    ) -> None:
        self.position = position
        self.live = source.info.live
        self._source = source
        policy = spec.policy or ("drop-oldest" if self.live else "block")
        self.drops = policy == "drop-oldest"
        self._size = MessageSize(self.drops, most)
        self._overload = overload if self.drops else None
        self._evenly = Evenly()
        self._reader = FrameReader(
            source,
            Preprocessor(model_input),
            fps=spec.fps,
            policy=policy,
            # One batch is gathered while others are under way.
            capacity=self._size.largest,
            skip=0 if self.live else position.skip,
            after_s=None if self.live else position.after_s,
            realtime=spec.realtime and not self.live,
        )
        self._missed = Counter(missed)
        # Frames of a live source that nobody read are counted as one gap.
        self._gap = Counter({"gap": 1} if self.live and position.next_frame else {})
        self._begun = False
        self._decoding_told: tuple[str, str | None, float] | None = None

    @property
    def gives_way(self) -> bool:
        """Whether more frames come than are taken, so that they go one by one; see `Overload`."""
        return self._overload is not None and self._overload.gives_way

    @property
    def alone(self) -> bool:
        """Whether the next message waits for the answer to the last one; see `Overload`."""
        return self._overload is not None and self._overload.alone

    def batch(self, round_trip_s: float | None, paced: bool = False, room: bool = True) -> list[Frame] | None:
        """The frames of the next message; none when there are none yet, None at the end.

        Args:
            round_trip_s: of the last message whose results are durable; None before.
            paced: whether the stream gets a share of its frames only; of a live one, one at each turn.
            room: whether Inference may have time for more, see `BatchDone`.

        Raises:
            SourceError: the source broke off; what came before was given out.
        """
        if round_trip_s is not None:
            self._size.answered(round_trip_s)
        if self._overload is not None:
            self._overload.room = room
        if self._overload is not None and (paced or self._overload.gives_way):
            frames = self._reader.batch(1, timeout=LOOK_UP_S, pick=self._evenly.pick)
        else:
            frames = self._reader.batch(self._size.frames, timeout=LOOK_UP_S)
        if frames and self._overload is not None and not paced:
            self._overload.sent(frames[0].dropped.get("late", 0))
        if frames and not self._begun:
            self._begun, self.position = True, self.position.begun(self._reader.passed)
            dropped = self._missed + self._gap + Counter(frames[0].dropped)
            frames[0] = replace(frames[0], dropped=dropped)
            self._missed.clear()
        return frames

    def decoding(self) -> dict[str, Any] | None:
        """What of the source is decoded, when there is news of it; a share alone is news now and then."""
        state, now_s = self._source.decoding, time.monotonic()
        told = self._decoding_told
        if told and told[:2] == (state.how, state.reason) and now_s < told[2] + _SHARE_EVERY_S:
            return None
        self._decoding_told = (state.how, state.reason, now_s)
        return {"how": state.how, "reason": state.reason, "share": state.share}

    def facts(self, frames: Sequence[Frame]) -> list[FrameFacts]:
        """What a message says of frames from `batch`; they count as given out from now on."""
        # Inference may run on another machine, where a monotonic clock says nothing.
        wall_s = time.time() - time.monotonic()
        late = sum(frame.dropped.get("late", 0) for frame in frames)
        self.position = self.position.after(len(frames), late)
        return [
            FrameFacts(
                times=self._in_stream(frame.times),
                geometry=frame.geometry,
                ready_at=frame.ready_at + wall_s,
                dropped=dict(frame.dropped),
            )
            for frame in frames
        ]

    def _in_stream(self, times: FrameTimes) -> FrameTimes:
        """The times of a frame by the clock of the stream, which goes on from round to round."""
        pts_s = None if times.pts_s is None else times.pts_s + self.position.start_s
        return replace(times, pts_s=pts_s)

    def close(self) -> Counter[str]:
        """Stops reading; what was dropped since the last frame given out, by reason."""
        self._reader.stop()
        return self._missed + Counter(self._reader.dropped_at_end())

    def following(self) -> Position:
        """Where the round after this one begins; once it has ended.

        Raises:
            SourceError: it had no frame at all.
        """
        info, reader = self._source.info, self._reader
        if not self.live and not self._begun and not reader.passed:
            raise SourceError(f"{info.display} gives no frame: without times no rate can be sampled")
        length_s = 0.0 if reader.end_s is None else reader.end_s + 1.0 / (info.rate or 1 / _PICTURE_S)
        return self.position.next_round(length_s)
