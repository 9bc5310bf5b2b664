"""What the gateway asks of the rest of the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pipeline.history import Wanted
from pipeline.scene.polygon import Point
from workers.contract.messages import BoxExample, Example, TokenSettings


class Backend(Protocol):
    """Who predicts. Its errors are those of `pipeline.errors`."""

    async def image(self, data: bytes, settings: TokenSettings) -> dict[str, Any]:
        """The result of one encoded picture.

        Raises:
            UsageError: the picture cannot be decoded, or the model does not take the tokenizer.
            ModelError: there is no such model, or it cannot be loaded.
            ServiceError: nobody predicts now.
        """

    async def look(self, data: bytes, settings: TokenSettings, box: str | None) -> Wanted:
        """What is looked for by an encoded picture, or by the part of it that `box` ("x,y,w,h") is.

        Raises:
            UsageError: the picture cannot be decoded, or there is no such part.
            ModelError, ServiceError: see `image`.
        """

    async def text(self, text: str, settings: TokenSettings) -> Wanted:
        """What is looked for by a text.

        Raises:
            UsageError: the stream's model has neither such a label nor a text tower.
            ModelError, ServiceError: see `image`.
        """

    async def example(
        self, stream: str, inference: Mapping[str, Any] | None, polygon: Sequence[Point], frame: int | None
    ) -> Example:
        """What a zone looks like in a frame that was just shown, or the next of the stream.

        Args:
            stream: its id.
            inference: who predicted its last frame, see `StreamStatus`.
            polygon: of the zone.
            frame: number of the frame; None for the next.

        Raises:
            UsageError: the model has nothing to compare there.
            ServiceError: no frame came, or nobody predicts now.
        """

    async def box_example(
        self,
        stream: str,
        inference: Mapping[str, Any] | None,
        sides: Sequence[float],
        name: str,
        frame: int | None,
    ) -> BoxExample:
        """What a drawn box looks like in a frame that was just shown or is held, or the next of the stream.

        Args:
            stream, inference, frame: see `example`.
            sides: x, y, w, h in 0..1 of the source picture.
            name: of what is in it.

        Raises:
            UsageError: the frame is gone, or the model has nothing to compare there.
            ServiceError: see `example`.
        """

    async def hold(self, stream: str, inference: Mapping[str, Any] | None, frame: int) -> None:
        """Keeps a frame that was just shown for two minutes more, so that it can be drawn in.

        Args:
            stream, inference, frame: see `example`.

        Raises:
            UsageError: it is gone.
            ServiceError: nobody predicts now.
        """

    async def ready(self) -> dict[str, Any]:
        """Facts on who predicts.

        Raises:
            ServiceError: nobody predicts now.
        """
