"""The rolling window: the most recent patches of a scope, which its vocabulary is learned from."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vocab.errors import VocabularyError

Patches = npt.NDArray[np.uint8]

# Containers round times to the millisecond and cameras jitter: a frame this early is still on time.
_EARLY_S = 0.01
# A step back of more than this is a new timeline (a wrapped or restarted clock), not frames out of order.
_STEP_BACK_S = 2.0


@dataclass(frozen=True, slots=True)
class WindowOptions:
    """How much a stream writes to its window, and how much a window holds.

    A patch is 3 * P * P bytes: 588 at patch size 14, 768 at 16. With the defaults a stream writes
    0.5 frames/s * 64 patches * 768 bytes = 24.6 kB/s, so 1,000 cameras write 24.6 MB/s (18.8 at 14).
    A window holds 14,336 patches, the last 7.5 minutes of one stream, in 11 MB, so 1,000 windows hold 11 GB
    (8.4 at 14). Streams that share a scope share its window, which then spans less time.

    Attributes:
        frames_per_s: how many frames are sampled per second of stream time; a file that is processed faster
            than it plays writes more per second of wall time.
        patches_per_frame: how many patches are drawn from a sampled frame.
        max_patches: patches that a window holds.
        max_bytes: bytes of pixels that a window holds; what patches larger than 16 are limited by.

    Raises:
        VocabularyError: a value is not positive, or the limits do not leave room for one frame.
    """

    frames_per_s: float = 0.5
    patches_per_frame: int = 64
    max_patches: int = 14_336
    max_bytes: int = 14_336 * 768

    def __post_init__(self) -> None:
        if not (math.isfinite(self.frames_per_s) and self.frames_per_s > 0):
            raise VocabularyError(f"cannot sample {self.frames_per_s} frames per second: give more than 0")
        if not 1 <= self.patches_per_frame <= self.max_patches:
            raise VocabularyError(
                f"a window of {self.max_patches} patches does not hold a frame of {self.patches_per_frame}"
            )

    def bytes_per_s(self, patch_size: int) -> float:
        """Bytes of pixels that a stream writes per second of stream time, at most."""
        return self.frames_per_s * self.patches_per_frame * patch_bytes(patch_size)

    def max_frames(self, patch_size: int) -> int:
        """Sampled frames that a window holds, so that neither limit is passed.

        Raises:
            VocabularyError: max_bytes does not hold one frame.
        """
        patches = min(self.max_patches, self.max_bytes // patch_bytes(patch_size))
        if patches < self.patches_per_frame:
            raise VocabularyError(
                f"a window of {self.max_bytes} bytes does not hold {self.patches_per_frame} patches of size "
                f"{patch_size}; raise max_bytes or lower patches_per_frame"
            )
        return patches // self.patches_per_frame


class RollingWindow(Protocol):
    """The most recent patches of a scope; several streams and threads may write to one window."""

    def add(self, patches: Patches) -> None:
        """Appends the patches of a sampled frame, uint8 (K, 3*P*P), and lets the oldest frames go.

        Raises:
            VocabularyError: the patches are of another size.
            StoreUnavailable: the window's server does not take them.
        """

    def read(self) -> Patches:
        """Everything in the window, uint8 (M, 3*P*P), oldest first; M is 0 for an empty one.

        Raises:
            StoreUnavailable: the window's server does not give them.
        """

    def sample(self, frames: int) -> Patches:
        """The patches of at most so many entries, spread evenly over the window; as `read` otherwise."""

    def newest(self) -> str | None:
        """Names the newest entry, so that who has seen it knows whether there is more; None when empty.

        Raises:
            StoreUnavailable: the window's server does not say.
        """

    def size(self) -> int:
        """How many patches `read` would give, without reading them.

        Raises:
            StoreUnavailable: the window's server does not say.
        """


class MemoryWindow:
    """A window in the memory of one process.

    Args:
        options: what it holds.
        patch_size: P of its patches.
    """

    def __init__(self, options: WindowOptions, patch_size: int) -> None:
        self._options = options
        self._patch_size = patch_size
        self._frames: deque[Patches] = deque(maxlen=options.max_frames(patch_size))
        self._added = 0
        self._lock = threading.Lock()

    def add(self, patches: Patches) -> None:
        """See `RollingWindow`."""
        entries = [entry.copy() for entry in entries_of(patches, self._options, self._patch_size)]
        with self._lock:
            self._frames.extend(entries)
            self._added += len(entries)

    def read(self) -> Patches:
        """See `RollingWindow`."""
        with self._lock:
            frames = list(self._frames)
        return joined(frames, self._patch_size)

    def sample(self, frames: int) -> Patches:
        """See `RollingWindow`."""
        with self._lock:
            every = math.ceil(len(self._frames) / frames)
            chosen = list(self._frames)[:: max(every, 1)]
        return joined(chosen, self._patch_size)

    def newest(self) -> str | None:
        """See `RollingWindow`."""
        with self._lock:
            return str(self._added) if self._frames else None

    def size(self) -> int:
        """See `RollingWindow`."""
        with self._lock:
            return sum(len(frame) for frame in self._frames)


class PatchSampler:
    """Draws the patches of one stream that go to the window.

    Frames are taken on a regular grid of stream time, the first frame at or after each grid point, so that
    every moment of the stream counts the same. From each, patches are drawn uniformly without replacement.

    Args:
        options: how many frames and patches.
        patch_size: P.
        seed: of the draws; streams that share a scope want seeds of their own.
    """

    def __init__(self, options: WindowOptions, patch_size: int, seed: int = 0) -> None:
        self._options = options
        self._patch_size = patch_size
        self._random = np.random.default_rng(seed)
        self._start_s: float | None = None
        self._latest_s = 0.0
        self._next = 0

    def take(self, image: Patches, at_s: float) -> Patches | None:
        """The patches of a frame that go to the window; None for a frame that is not sampled.

        Args:
            image: uint8 (H, W, 3) RGB, H and W multiples of P.
            at_s: presentation or capture time in seconds; ask once per frame, in order.

        Returns:
            uint8 (K, 3*P*P), K the smaller of `patches_per_frame` and the frame's patches, each laid out as
            by `vocab.patches.patchify` (channel-major).

        Raises:
            VocabularyError: when the image does not divide into patches.
        """
        if not self._wants(at_s):
            return None
        size = self._patch_size
        if image.ndim != 3 or image.shape[2] != 3 or image.shape[0] % size or image.shape[1] % size:
            raise VocabularyError(f"an image of shape {image.shape} does not divide into patches of {size}")
        rows, columns = image.shape[0] // size, image.shape[1] // size
        count = min(self._options.patches_per_frame, rows * columns)
        row, column = np.divmod(self._random.choice(rows * columns, count, replace=False), columns)
        grid = image.reshape(rows, size, columns, size, 3)
        return grid[row, :, column].transpose(0, 3, 1, 2).reshape(count, -1)

    def _wants(self, at_s: float) -> bool:
        if self._start_s is None or at_s < self._latest_s - _STEP_BACK_S:
            self._start_s, self._latest_s, self._next = at_s, at_s, 0
        self._latest_s = max(self._latest_s, at_s)
        rate = self._options.frames_per_s
        # A quarter of the interval at most, or a high rate would take two frames for one grid point.
        point = math.floor((at_s - self._start_s) * rate + min(_EARLY_S * rate, 0.25))
        if point < self._next:
            return False
        self._next = point + 1
        return True


def patch_bytes(patch_size: int) -> int:
    """Bytes of one uint8 patch."""
    return 3 * patch_size * patch_size


def entries_of(patches: Patches, options: WindowOptions, patch_size: int) -> Iterator[Patches]:
    """Cuts patches into entries of at most `patches_per_frame`, which the limits are counted in.

    Raises:
        VocabularyError: when they are not uint8 (K, 3*P*P).
    """
    if patches.dtype != np.uint8 or patches.ndim != 2 or patches.shape[1] != patch_bytes(patch_size):
        raise VocabularyError(
            f"a window of patch size {patch_size} takes uint8 (K, {patch_bytes(patch_size)}), "
            f"not {patches.dtype} {patches.shape}"
        )
    for start in range(0, len(patches), options.patches_per_frame):
        yield patches[start : start + options.patches_per_frame]


def joined(frames: list[Patches], patch_size: int) -> Patches:
    """The patches of several frames as one (M, 3*P*P) array, also when there are none."""
    return np.concatenate([np.empty((0, patch_bytes(patch_size)), np.uint8), *frames])
