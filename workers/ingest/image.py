"""One encoded image, made ready for a model."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

from pipeline.errors import UsageError
from pipeline.frame import Geometry, Pixels
from pipeline.input_spec import InputSpec
from pipeline.preprocess import Preprocessor

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")


def prepare(data: bytes, spec: InputSpec, max_pixels: int) -> tuple[Pixels, Geometry]:
    """Decodes an image, turns it upright and makes a model's input of it.

    Args:
        data: of a JPEG, PNG, WebP or BMP file.
        spec: of the model.
        max_pixels: a larger image is refused before it is decoded.

    Returns:
        The input, uint8 (H, W, 3) RGB, and where the upright picture lies in it.

    Raises:
        UsageError: it is none of these, is damaged or too large.
    """
    _check_size(data, max_pixels)
    # Heeds the orientation that a camera noted.
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise UsageError("the image is damaged: send it again, or save it anew")
    image, geometry, _ = Preprocessor(spec)(picture)
    return image, geometry


def _check_size(data: bytes, max_pixels: int) -> None:
    try:
        # Reads no more than the file's head.
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        width, height = max_pixels + 1, 1
    except Exception:
        raise UsageError("the image cannot be read: send a JPEG, PNG, WebP or BMP") from None
    if width * height > max_pixels:
        raise UsageError(f"the image has more than {max_pixels} pixels: send a smaller one")
