"""Opens a source, whatever its kind."""

from __future__ import annotations

from pipeline.sources.file import FileSource
from pipeline.sources.images import ImagesSource, are_images
from pipeline.sources.remote import RemoteSource
from pipeline.sources.source import OnNotice, Source, SourceOptions
from pipeline.sources.spec import SourceSpec


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
