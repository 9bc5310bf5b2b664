"""What of the model's input is shown."""

import json
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from pipeline.boxes import Box
from pipeline.frame import Frame, FrameTimes
from pipeline.input_spec import InputSpec
from pipeline.outputs.visible import visible_part
from pipeline.preprocess import Preprocessor
from pipeline.results import Prediction, Region
from pipeline.tokenizers.states import MERGED
from tests.pipeline.outputs.examples import a_result
from tests.vocab.conftest import client
from tests.vocab.servers import Server
from vocab.connection import RedisClient
from workers.contract.keys import StreamKeys
from workers.inference.preview import Preview

__all__ = ["client"]


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server("valkey")
    yield server
    server.close()


def gradient(width: int, height: int) -> np.ndarray:
    """Red grows to the right from 0 to 255, green downwards."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 255, width)[None, :]
    picture[..., 1] = np.linspace(0, 255, height)[:, None]
    return picture


@pytest.mark.parametrize(("width", "height"), [(640, 360), (360, 640), (300, 300)])
@pytest.mark.parametrize(
    "spec",
    [
        InputSpec(224, 224, "squash"),
        InputSpec(224, 224, "border"),
        InputSpec(224, 224, "border", patch_size=14),
        InputSpec(224, 224, "native", patch_size=14),
    ],
)
def test_the_whole_picture_is_shown_in_its_own_aspect(spec: InputSpec, width: int, height: int) -> None:
    image, geometry, _ = Preprocessor(spec)(gradient(width, height))
    picture, shown, prediction, _ = visible_part(
        image, geometry, Prediction("regions", regions=[Region(0.25, 0.5, 0.5, 0.25, 0.9)])
    )
    assert picture.shape[1] / picture.shape[0] == pytest.approx(width / height, rel=0.02)
    assert picture[:, 0, 0].max() < 10
    assert picture[:, -1, 0].min() > 245
    (region,) = prediction.regions
    assert (region.x, region.y, region.w, region.h) == pytest.approx((0.25, 0.5, 0.5, 0.25), abs=0.01)
    assert shown.content_box() == pytest.approx(geometry.content_box(), abs=0.6)


def test_of_a_cropped_picture_the_part_is_shown_that_the_model_sees() -> None:
    image, geometry, _ = Preprocessor(InputSpec(224, 224, "center"))(gradient(640, 320))
    inside, across = Region(0.5, 0.5, 0.1, 0.1, 0.9), Region(0.0, 0.0, 0.5, 1.0, 0.8)
    picture, shown, prediction, _ = visible_part(
        image, geometry, Prediction("regions", regions=[inside, across])
    )
    assert picture.shape == (224, 224, 3)
    assert picture[0, 0, 0] == pytest.approx(64, abs=3)
    first, second = prediction.regions
    assert (first.x, first.y, first.w, first.h) == pytest.approx((0.5, 0.5, 0.2, 0.1), abs=0.01)
    assert (second.x, second.y, second.w, second.h) == pytest.approx((0.0, 0.0, 0.5, 1.0), abs=0.01)
    assert shown.content_box() == (0, 0, 224, 224)


def test_what_is_shown_is_the_picture_without_legend_or_figures(client: RedisClient) -> None:
    keys = StreamKeys("yard")
    client.set(keys.watched, "1")
    image, geometry, _ = Preprocessor(InputSpec(224, 224, "squash", patch_size=14))(gradient(640, 360))
    frame = Frame(FrameTimes(pts_s=0.0), image, geometry)
    Preview(client, "yard").show(frame, np.full((16, 16), MERGED, np.uint8), a_result())
    for kind in ("jpeg", "plain"):
        height, width = cv2.imdecode(np.frombuffer(client.hget(keys.preview, kind), np.uint8), 1).shape[:2]
        assert width / height == pytest.approx(640 / 360, rel=0.02)


def test_boxes_keep_their_names_and_move_with_the_part_that_is_shown() -> None:
    image, geometry, _ = Preprocessor(InputSpec(224, 224, "center"))(gradient(640, 320))
    box = Box(0.5, 0.5, 0.1, 0.1, "person", 0.9, id="7")

    _, _, prediction, changed = visible_part(image, geometry, Prediction("boxes", boxes=[box]), [box])

    for moved in (*prediction.boxes, *changed):
        assert (moved.x, moved.y, moved.w, moved.h) == pytest.approx((0.5, 0.5, 0.2, 0.1), abs=0.01)
        assert (moved.name, moved.score, moved.id) == ("person", 0.9, "7")


@pytest.mark.parametrize(
    ("mode", "part"), [("squash", [0, 0, 1, 1]), ("native", [0, 0, 1, 1]), ("center", [0.25, 0, 0.75, 1])]
)
def test_it_is_said_which_part_of_the_picture_is_shown(
    client: RedisClient, mode: str, part: list[float]
) -> None:
    keys = StreamKeys("yard")
    client.set(keys.watched, "1")
    image, geometry, _ = Preprocessor(InputSpec(224, 224, mode, patch_size=14))(gradient(640, 320))
    Preview(client, "yard").show(Frame(FrameTimes(pts_s=0.0), image, geometry), None, a_result())
    assert json.loads(client.hget(keys.preview, "part")) == pytest.approx(part, abs=0.01)
