"""Encoded images, made ready for a model."""

from __future__ import annotations

import threading

from pipeline.errors import UsageError
from pipeline.frame import Geometry, Pixels
from pipeline.input_spec import InputSpec
from pipeline.preprocess import Preprocessor
from pipeline.sources.images import decode_image


class ImageReader:
    """Decodes images and makes a model's inputs of them; for any number of threads.

    The gateway has looked at their heads: they are of a format that is taken, and not too large.
    """

    def __init__(self) -> None:
        self._of_thread = threading.local()

    def __call__(self, data: bytes, spec: InputSpec) -> tuple[Pixels, Geometry]:
        """Decodes an image, turns it upright and makes a model's input of it.

        Args:
            data: of a JPEG, PNG, WebP or BMP file.
            spec: of the model.

        Returns:
            The input, uint8 (H, W, 3) RGB, and where the upright picture lies in it.

        Raises:
            UsageError: it is damaged.
        """
        picture = decode_image(data)
        if picture is None:
            raise UsageError("the image is damaged: send it again, or save it anew")
        image, geometry, _ = self._preprocessor(spec)(picture)
        return image, geometry

    def _preprocessor(self, spec: InputSpec) -> Preprocessor:
        """Of this thread; made anew for another model than its last one's."""
        known: tuple[InputSpec, Preprocessor] | None = getattr(self._of_thread, "known", None)
        if known is None or known[0] != spec:
            known = self._of_thread.known = spec, Preprocessor(spec)
        return known[1]
