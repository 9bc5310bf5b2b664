"""Sources: a video, images, an RTSP or HTTP URL, a camera or a sample clip in, decoded pictures out."""

from pipeline.sources.file import FileSource
from pipeline.sources.images import ImagesSource, are_images, fixed_part
from pipeline.sources.remote import RemoteSource
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


def open_source(spec: SourceSpec, options: SourceOptions, on_notice: OnNotice) -> Source:
    """Opens a source and decodes its first picture; close it when done.

    `on_notice` may be called from another thread.

    Raises:
        SourceError: it cannot be opened, or gave no picture within `options.open_timeout_s`.
        UsageError: it cannot be opened with these options.
    """
    if spec.kind == "file" and are_images(spec.location):
        return ImagesSource(spec, options, on_notice)
    kind = FileSource if spec.local else RemoteSource
    return kind(spec, options, on_notice)
