"""Sources: a video, images, an RTSP or HTTP URL, a camera or a sample clip in, decoded pictures out.

Each name loads on first use: who only reads what a source is called, does without FFmpeg and OpenCV.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
    "SAMPLES": "spec",
    "SourceSpec": "spec",
    "parse_source": "spec",
    "are_images": "images",
    "fixed_part": "images",
    "open_source": "opening",
}


def __getattr__(name: str) -> Any:
    """The public names, loaded on first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE.get(name, 'source')}"), name)
