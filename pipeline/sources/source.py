"""What every source is to its user: facts, frames, what was dropped, a state and a way to stop it."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from pipeline.defaults import DEFAULT_MAX_PIXELS, DEFAULT_OPEN_TIMEOUT_S, DEFAULT_STALL_TIMEOUT_S
from pipeline.frame import Decoded
from pipeline.sources.spec import SourceSpec

if TYPE_CHECKING:
    from pipeline.clips.packets import PacketRing

Decode = Literal["all", "needed", "keyframes"]
State = Literal["starting", "running", "reconnecting", "ended", "failed"]


class Route(Protocol):
    """How the connections of a network source are made, where not every address may be connected to."""

    @property
    def failure(self) -> str | None:
        """Why the last connection could not be made, and what to do; None when it could."""

    def way(self, spec: SourceSpec) -> tuple[str, dict[str, str]]:
        """What FFmpeg opens instead of the source's own address, and with which settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """How a source is opened and kept open.

    Attributes:
        open_timeout_s: seconds until the first picture of a connection.
        stall_timeout_s: seconds without a picture after which a connection counts as lost.
        decoder: "auto" uses an NVIDIA GPU where there is one; "cuda" says so when it cannot.
        gpu: which GPU, as CUDA counts them in this process; None for the first.
        rtsp_transport: "tcp" or "udp".
        reconnect: whether a live source that was lost is opened again.
        backoff_initial_s, backoff_cap_s: bounds of the first and of the longest wait before reconnecting.
        backoff_seed: makes the jitter of those waits repeatable; None for a random one.
        threads: decoder threads; 0 for one per core.
        max_pixels: of a picture; of what a stream has its decoder keep, nine times that (`KEPT` of
            `held_pictures`), beside one picture per thread.
        fps: frames per second that are sampled; the reader's `fps` must say the same. None for every frame.
        decode: what of it is decoded. "all", "needed" (what the sampled frames, which stay the same, refer
            to), or "keyframes", of which alone frames are then sampled.
        route: of the connections of a network source; None for FFmpeg's own.
        packets: keeps the newest packets, for clips; None for no clips.
        within: real folders and files that images may be read from, whatever links say; None for any.
    """

    open_timeout_s: float = DEFAULT_OPEN_TIMEOUT_S
    stall_timeout_s: float = DEFAULT_STALL_TIMEOUT_S
    decoder: Literal["auto", "cpu", "cuda"] = "auto"
    gpu: int | None = None
    rtsp_transport: Literal["tcp", "udp"] = "tcp"
    reconnect: bool = True
    backoff_initial_s: float = 0.5
    backoff_cap_s: float = 30.0
    backoff_seed: int | None = None
    threads: int = 0
    max_pixels: int = DEFAULT_MAX_PIXELS
    fps: float | None = None
    decode: Decode = "needed"
    route: Route | None = None
    packets: PacketRing | None = None
    within: Sequence[Path] | None = None


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known of a source once its first picture is decoded.

    Attributes:
        display: the source without credentials.
        name: a slug usable as a stream id.
        live: whether frames come at their own pace and late ones are dropped.
        width, height: size of the upright picture in pixels.
        rate: mean frames per second the container states; None where it states none.
        frames: number of frames the container states; None where it states none.
        duration_s: length in seconds; None for live sources and where the container states none.
        decoder: what decodes it, "cpu" or "cuda".
    """

    display: str
    name: str
    live: bool
    width: int
    height: int
    rate: float | None
    frames: int | None
    duration_s: float | None
    decoder: Literal["cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should read; it never holds a credential.

    Attributes:
        kind: "reconnecting", "reconnected", "decoder", "truncated", "corrupt", "times", "refused", "skipped"
            or "ended".
        message: one line.
    """

    kind: str
    message: str


@dataclass(slots=True)
class Decoding:
    """What of a source is decoded, added to in one thread and read in any.

    Attributes:
        how: "all", "needed" or "keyframes".
        reason: why all is decoded where less was asked for; None where it is not, or none was asked for.
        frames: packets read so far, each of a frame.
        decoded: frames decoded so far.
    """

    how: Decode = "all"
    reason: str | None = None
    frames: int = 0
    decoded: int = 0

    @property
    def share(self) -> float | None:
        """Frames decoded over frames read; None before the first."""
        return self.decoded / self.frames if self.frames else None


OnNotice = Callable[[Notice], None]


class Dropped:
    """Counts of dropped frames by reason, added to in one thread and taken in another."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, reason: str, count: int = 1) -> None:
        """Counts `count` more frames dropped for `reason`."""
        with self._lock:
            self._counts[reason] += count

    def take(self) -> dict[str, int]:
        """Returns the counts and clears them."""
        with self._lock:
            counts, self._counts = dict(self._counts), Counter()
        return counts


class Source(ABC):
    """An opened source. `frames` is for one thread; everything else may be called from any."""

    info: SourceInfo
    state: State = "starting"

    def __init__(self) -> None:
        self.decoding = Decoding()
        self._dropped = Dropped()

    @abstractmethod
    def frames(self) -> Iterator[Decoded]:
        """Yields decoded pictures until the end or `close`; call it once.

        `pts_s` is the container's time minus the stream's start time, so a file starts at about 0. A live
        source starts at 0 and never goes back: after a reconnect it goes on by the time that has passed.
        A frame that sampling at `SourceOptions.fps` does not want may come without a picture.

        Raises:
            SourceError: the source was lost and may not be reopened.
        """

    @abstractmethod
    def close(self) -> None:
        """Ends `frames` promptly; never waits for the peer."""

    def take_dropped(self) -> dict[str, int]:
        """What was dropped since the last call, by reason, then forgets it.

        Reasons: "late" (frames a slow reader of a live source did not take), "corrupt" (packets or images
        that cannot be decoded), "gap" (reconnects, stretches and ends that a file lacks: each lost an unknown
        number of frames), "jump" (times of a file that go back or far ahead: frames may be missing at each).
        """
        return self._dropped.take()
