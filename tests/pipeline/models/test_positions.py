"""Any grid for every family: as timm embeds it, and alike whatever else is in the batch."""

import pytest
import timm
import torch
import torch.nn.functional as F

from pipeline.models.encoder import PackedEncoder
from pipeline.models.focus import load_focus
from pipeline.models.positions import Place, Placed, Positions
from pipeline.tokenizers import FullTokenizer, InterTokenizer, IntraTokenizer, MergeTokenizer, TokenPlan
from tests.pipeline.models.families import FAMILIES, build, dynamic, images_for
from vocab.patches import patchify
from vocab.words import Vocabulary

# Of 8x8, which the models are built for (sapiens2 for 8x6).
GRIDS = [(6, 11), (8, 8), (3, 5)]


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return PackedEncoder(build(request.param)), dynamic(request.param)


def images_of(encoder: PackedEncoder, grid: tuple[int, int], count: int = 2) -> torch.Tensor:
    square = images_for(encoder.model, count)
    height, width = (side * encoder.patch_size for side in grid)
    return F.interpolate(square, (height, width), mode="bilinear")


def full(encoder: PackedEncoder, images: torch.Tensor) -> TokenPlan:
    return FullTokenizer().plan(images, encoder.patch_size, encoder.prefix)


@torch.inference_mode()
@pytest.mark.parametrize("grid", GRIDS)
def test_a_grid_gets_the_positions_that_timm_would_give_it(family, grid):
    encoder, plain = family
    images = images_of(encoder, grid)

    features = encoder.encode(images, full(encoder, images))

    torch.testing.assert_close(
        features.tokens, plain.forward_features(images).flatten(0, 1), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(encoder.head(features), plain(images), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_leaving_out_padding_equals_dropping_its_patches_from_the_padded_input(family):
    encoder, _ = family
    rows, columns = encoder.grid
    padded = images_of(encoder, encoder.grid)
    group = torch.full((rows, columns), -1)
    group[2:5, 1:] = torch.arange(3 * (columns - 1)).unflatten(0, (3, -1))
    group = group.flatten().expand(len(padded), -1)
    dropped = TokenPlan(group, torch.full((len(group),), 3 * (columns - 1)), encoder.prefix)
    size = encoder.patch_size
    images = padded[:, :, 2 * size : 5 * size, size:]
    place = Place((3, columns - 1), (rows, columns), (2, 1))

    features = encoder.encode([Placed(images, place)], full(encoder, images))

    expected = encoder.encode(padded, dropped)
    torch.testing.assert_close(features.tokens, expected.tokens, atol=1e-5, rtol=0)
    torch.testing.assert_close(encoder.head(features), encoder.head(expected), atol=1e-5, rtol=0)
    # Guards the guard: where the patches lie does matter.
    elsewhere = encoder.encode(images, full(encoder, images))
    assert (features.tokens - elsewhere.tokens).abs().max() > 1e-4


@torch.inference_mode()
def test_a_result_does_not_depend_on_the_grids_beside_it(family):
    encoder, _ = family
    batch = [images_of(encoder, grid) for grid in GRIDS]
    vocabulary = Vocabulary.learn(
        torch.cat([patchify(x, encoder.patch_size).flatten(0, 1) for x in batch]), 40
    )
    for tokenizer in (
        FullTokenizer(),
        IntraTokenizer(0.4),
        MergeTokenizer(7),
        InterTokenizer(vocabulary, 0.05),
    ):
        plans = [tokenizer.plan(images, encoder.patch_size, encoder.prefix) for images in batch]
        placed = [Placed.filling(images, encoder.patch_size) for images in batch]

        together = encoder.encode(placed, TokenPlan.join(plans))

        parts = iter(together.tokens.split(list(together.segments.lengths)))
        scores, grids = iter(encoder.head(together)), encoder.patch_grids(together)
        for images, shape in zip(batch, GRIDS, strict=True):
            grid = next(grids)
            assert grid.shape[2:] == shape
            for index in range(len(images)):
                one = images[index : index + 1]
                alone = encoder.encode(one, tokenizer.plan(one, encoder.patch_size, encoder.prefix))
                torch.testing.assert_close(next(parts), alone.tokens, atol=1e-5, rtol=0)
                torch.testing.assert_close(next(scores), encoder.head(alone)[0], atol=1e-5, rtol=0)
                torch.testing.assert_close(
                    grid[index], next(encoder.patch_grids(alone))[0], atol=1e-5, rtol=0
                )


@torch.inference_mode()
def test_the_bundled_models_positions_are_resized_once_and_without_antialiasing():
    backbone, _, learned = load_focus()
    positions = Positions(backbone, learned, antialias=False)
    square = learned.permute(2, 0, 1)[None]
    for grid in ((16, 16), (7, 16), (32, 24)):
        expected = F.interpolate(square, grid, mode="bicubic", antialias=False)[0].flatten(1).T
        added = positions.added(Place(grid, grid))
        torch.testing.assert_close(added, expected, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_positions_are_kept_for_so_many_grids_only():
    positions = Positions(timm.create_model("vit_tiny_patch16_224", depth=1))
    for rows in range(1, 50):
        positions.added(Place((rows, 3), (rows, 3)))

    assert positions._added.cache_info().currsize <= 32


@torch.inference_mode()
def test_a_rotary_table_is_made_once_for_a_grid():
    positions = PackedEncoder(build("dinov3")).positions
    places = Place((6, 11), (6, 11)), Place((3, 5), (3, 5))
    first = [positions.rotation(place) for place in places]

    assert all(positions.rotation(place) is table for place, table in zip(places, first, strict=True))
