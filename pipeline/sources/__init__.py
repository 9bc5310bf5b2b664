"""Sources: a video, images, an RTSP or HTTP URL, a camera or a sample clip in, decoded pictures out.

Each name loads on first use: who only reads what a source is called, does without FFmpeg and OpenCV.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vocab.first_use import on_first_use

if TYPE_CHECKING:
    from pipeline.sources.images import are_images, fixed_part
    from pipeline.sources.opening import open_source
    from pipeline.sources.source import Decoding, Notice, OnNotice, Source, SourceInfo, SourceOptions, State
    from pipeline.sources.spec import SAMPLES, SourceSpec, parse_source

__all__ = [
    "SAMPLES",
    "Decoding",
    "Notice",
    "OnNotice",
    "Source",
    "SourceInfo",
    "SourceOptions",
    "SourceSpec",
    "State",
    "are_images",
    "fixed_part",
    "open_source",
    "parse_source",
]

_WHERE = {
    **dict.fromkeys(
        ("Decoding", "Notice", "OnNotice", "Source", "SourceInfo", "SourceOptions", "State"), "source"
    ),
    "SAMPLES": "spec",
    "SourceSpec": "spec",
    "parse_source": "spec",
    "are_images": "images",
    "fixed_part": "images",
    "open_source": "opening",
}

__getattr__ = on_first_use(__name__, _WHERE)
