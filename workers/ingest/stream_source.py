"""The source of one stream: opened where the service may read it, and closed from any thread."""

from __future__ import annotations

import threading

from pipeline.clips.packets import PacketRing
from pipeline.errors import SourceError, UsageError
from pipeline.sources import Source, SourceOptions, SourceSpec, open_source, parse_source
from pipeline.sources.source import Notice, OnNotice
from workers.access.addresses import AllowedHosts
from workers.access.route import CheckedRoute
from workers.access.sources import check_source
from workers.ingest.sender import Stopped
from workers.settings.schema import ServiceSettings


class StreamSource:
    """Opens what a stream reads, again for each round of a clip, until it is closed.

    Args:
        text: as `parse_source` takes it.
        settings: of the service.
        threads: of the decoder.
        fps: frames per second that are sampled; None for every frame.
        on_notice: told what happens; called from threads of the source.
        gpu: see `SourceOptions`.
        packets: keeps its newest packets, for clips; None for no clips.
    """

    def __init__(
        self,
        text: str,
        settings: ServiceSettings,
        threads: int,
        fps: float | None,
        on_notice: OnNotice,
        gpu: int | None = None,
        packets: PacketRing | None = None,
    ) -> None:
        ingest = settings.ingest
        self._text = text
        self._access = settings.access
        hosts = AllowedHosts(settings.access.allow_hosts)
        spec = self._spec()
        remote = spec is not None and spec.host is not None
        self._route = CheckedRoute(hosts, self._refused) if remote and not hosts.any else None
        self._options = SourceOptions(
            open_timeout_s=ingest.open_timeout_s,
            stall_timeout_s=ingest.stall_timeout_s,
            decoder=ingest.decoder,
            gpu=gpu,
            rtsp_transport=ingest.rtsp_transport,
            threads=threads,
            fps=fps,
            decode=ingest.decode,
            max_pixels=ingest.max_pixels,
            route=self._route,
            packets=packets,
            within=[folder.resolve() for folder in settings.access.allow_folders],
        )
        self._on_notice = on_notice
        self._lock = threading.Lock()
        self._closed = False
        self._source: Source | None = None

    @property
    def comes_back(self) -> bool:
        """Whether it may be there later if it failed; no clip is, nor what is no source at all."""
        spec = self._spec()
        return spec is not None and not spec.local

    def open(self) -> Source:
        """Checks that it may be read, and opens it.

        Raises:
            Stopped: it was closed meanwhile.
            UsageError: it may not be read.
            SourceError: it cannot be opened.
        """
        source = open_source(check_source(self._text, self._access), self._options, self._on_notice)
        with self._lock:
            self._source = source
            if self._closed:
                source.close()
                raise Stopped
        return source

    def close(self) -> None:
        """Ends reading at once, and for good; never waits for the peer."""
        with self._lock:
            self._closed = True
            if self._source is not None:
                self._source.close()
            if self._route is not None:
                self._route.close()

    def _spec(self) -> SourceSpec | None:
        try:
            return parse_source(self._text)
        except (SourceError, UsageError):
            return None

    def _refused(self, why: str) -> None:
        self._on_notice(Notice("refused", why))
