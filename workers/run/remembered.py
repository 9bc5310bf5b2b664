"""What a run leaves for `vwt find`: the moments of its stream at which something changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.errors import UsageError
from pipeline.frame import Frame
from pipeline.history import HistoryFile, Moment, Novelty, Origin, Widths
from pipeline.models import Model
from pipeline.models.label_vectors import full_name
from pipeline.reading import FrameOutput
from pipeline.results import FrameResult
from pipeline.things import things_in
from vocab.paths import is_file
from workers.run.options import RunOptions


def check_index(options: RunOptions, model: Model) -> None:
    """Refuses a model that nothing can be remembered of.

    Raises:
        UsageError: it has no embedding.
    """
    if options.index is not None and not model.needs_pixels:
        raise UsageError(f"model '{model.name}' has no embedding that --index could keep; name another")


class Remembered:
    """Keeps the frames of one stream that show something new.

    A file is read from its beginning, so its history begins anew; that of a live source goes on.

    Args:
        options: of the run, with an index.
        stream: its name.
        live: whether the source is.
        patch_size: of the model; None where it has no patches.
    """

    def __init__(self, options: RunOptions, stream: str, live: bool, patch_size: int | None) -> None:
        assert options.index is not None
        self._folder = Path(options.index)
        self._bytes = options.index_bytes
        self._origin = Origin(
            stream=stream,
            model=full_name(options.model),
            weights=_whole(options.weights),
            names=_whole(options.names),
            fit=options.fit,
            size=options.size,
        )
        self._embedding = options.embedding
        self._live = live
        self._patch_size = patch_size
        self._novelty = Novelty()
        self._file: HistoryFile | None = None
        self._frames = self._kept = 0

    def take(
        self, results: Sequence[FrameResult], frames: Sequence[Frame], outputs: Sequence[FrameOutput]
    ) -> list[FrameResult]:
        """Keeps what is new, and with it what changed, where values were asked for.

        Args:
            results, frames, outputs: of the same frames.

        Returns:
            The results as they were asked for: without what was computed for the history only.

        Raises:
            VwtError: the history cannot be written.
        """
        for result, frame, output in zip(results, frames, outputs, strict=True):
            self._frames += 1
            if self._novelty.keeps(result.prediction, result.decision):
                moment = Moment(result.frame, result.pts_s, result.times.captured_at)
                things = things_in(output.values, result.changed, frame.geometry, self._patch_size)
                widths = Widths.of(result.prediction, things)
                self._opened(widths).add(moment, result.prediction, things)
                self._kept += 1
        return [result.trimmed(self._embedding) for result in results]

    def text(self) -> str:
        """For people."""
        if self._file is None:
            return f"none of {self._frames} frames showed anything to remember"
        return (
            f"{self._kept} of {self._frames} frames showed something new: "
            f"vwt find {self._folder} --like PICTURE"
        )

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        path = None if self._file is None else str(self._file.path)
        return {"kept": self._kept, "frames": self._frames, "path": path}

    def __enter__(self) -> Remembered:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def _opened(self, widths: Widths) -> HistoryFile:
        """How wide embeddings are is known with the first."""
        if self._file is None:
            self._file = HistoryFile(self._folder, self._origin, widths, self._bytes, anew=not self._live)
        return self._file


def _whole(path: str | None) -> str | None:
    """A path that holds from other folders, too; what is no file stays."""
    return str(Path(path).resolve()) if path is not None and is_file(path) else path
