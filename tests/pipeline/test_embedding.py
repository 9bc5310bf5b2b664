import numpy as np
import pytest

from pipeline.embedding import Part, embed
from pipeline.errors import UsageError
from pipeline.models import load_model


def test_a_part_is_cut_out_of_the_picture() -> None:
    picture = np.arange(10 * 20 * 3, dtype=np.uint8).reshape(10, 20, 3)
    np.testing.assert_array_equal(Part.parse("0.5,0.2,0.25,0.5").of(picture), picture[2:7, 10:15])
    np.testing.assert_array_equal(Part.parse("0,0,1,1").of(picture), picture)


def test_the_smallest_part_is_a_pixel() -> None:
    assert Part.parse("0.999,0.999,0.0001,0.0001").of(np.zeros((4, 6, 3), np.uint8)).shape == (1, 1, 3)


@pytest.mark.parametrize(
    "text",
    ["", "1,2", "a,b,c,d", "0,0,0,1", "-.1,0,1,1", "0.5,0,0.6,1", "nan,0,1,1", "0,0,nan,1", "0,0,1,1,1"],
)
def test_what_is_no_part_of_a_picture_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="box"):
        Part.parse(text)


def test_a_picture_is_most_like_itself_made_smaller() -> None:
    model = load_model("vit_tiny_patch16_224", "random", embedding_only=True)
    draw = np.random.default_rng(0)
    coarse = draw.integers(0, 255, (2, 8, 8, 3), np.uint8)
    one, other = (np.kron(some, np.ones((60, 60, 1), np.uint8)) for some in coarse)
    vectors = [embed(model, picture) for picture in (one, other, np.ascontiguousarray(one[::2, ::2]))]
    assert vectors[0].shape == (192,)
    units = [vector / np.linalg.norm(vector) for vector in vectors]
    assert units[0] @ units[2] > 0.999
    assert units[0] @ units[2] > units[0] @ units[1]
