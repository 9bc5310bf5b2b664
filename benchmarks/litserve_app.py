"""The same way around no model as ours, in LitServe: decode one JPEG, make a model's input of it, answer.

Run by `benchmarks.single_images` with a Python that has LitServe: -m benchmarks.litserve_app PORT MODEL
"""

import sys
from dataclasses import asdict
from typing import Any

import cv2
import litserve
import numpy as np

from pipeline.engine import Engine
from pipeline.frame import Frame, FrameTimes
from pipeline.models import load_model
from pipeline.preprocess import Preprocessor
from pipeline.tokenizers import FullTokenizer
from workers.threads import share_cores


class App(litserve.LitAPI):  # type: ignore[misc]
    """One image in, one prediction out."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self._model = model

    def setup(self, device: str) -> None:
        """Called by LitServe in its worker."""
        self._engine = Engine(load_model(self._model, device=device))
        self._preprocess = Preprocessor(self._engine.model.input)

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # an annotation would say how to parse it
        """From the file `image` of a form."""
        data = np.frombuffer(request["image"].file.read(), np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
        assert picture is not None
        image, geometry, _ = self._preprocess(picture)
        return Frame(FrameTimes(pts_s=None), image, geometry)

    def predict(self, frame: Frame) -> Any:
        """One pass for one image."""
        (output,) = self._engine.submit([frame], FullTokenizer()).result().frames
        return output.prediction

    def encode_response(self, prediction: Any) -> dict[str, Any]:
        """As JSON has it."""
        return {"prediction": asdict(prediction)}


if __name__ == "__main__":
    share_cores()
    server = litserve.LitServer(App(sys.argv[2]), accelerator="cpu")
    server.run(port=int(sys.argv[1]), host="127.0.0.1", generate_client_file=False, log_level="warning")
