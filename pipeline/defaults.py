"""Defaults that more than one module states. Free of heavy imports."""

from __future__ import annotations

DEFAULT_MODEL = "dinov2_vits14_saliency"
DEFAULT_PRECISION = "auto"
DEFAULT_BATCH = 8
DEFAULT_WORDS = 1000
DEFAULT_WARMUP_FRAMES = 64
DEFAULT_WATTS_PER_CORE = 5.0
# Seconds until the first picture of a connection, and without a picture until it counts as lost.
DEFAULT_OPEN_TIMEOUT_S = 8.0
DEFAULT_STALL_TIMEOUT_S = 10.0
# Of a video's picture, a little more than 8K has: a decoder may keep sixteen, and makes one.
DEFAULT_MAX_PIXELS = 36_000_000
DEFAULT_RELEARN_AFTER_S = 600.0
DEFAULT_WINDOW_FPS = 0.5
DEFAULT_WINDOW_PATCHES = 64
# One frame in fifty is audited: it costs a fiftieth of what `full` does.
DEFAULT_AUDIT = 0.02
# Before the name of a repository of the model hub, where weights are asked for.
HUB_PREFIX = "hf-hub:"
# What a detector's box needs to be told; usual for models that name each thing once (DETR).
DEFAULT_MIN_SCORE = 0.5
# Of what is kept to find moments of a stream again; 8,700 of them with the bundled model.
DEFAULT_HISTORY_BYTES = 2**26
LEAST_HISTORY_BYTES = 2**16
# Of the newest packets of a stream, for clips of its events: a minute at 4 Mbit/s.
DEFAULT_CLIP_BUFFER_BYTES = 2**25
