import math

import pytest
import torch

from pipeline.errors import UsageError
from pipeline.tokenizers import ClusterTokenizer, PackedTokens
from pipeline.tokenizers.cluster import TEMPERATURE, ClusterStep
from tests.pipeline.tokenizers.examples import image, packed


def softmax(closeness: dict[int, float]) -> dict[int, float]:
    most = max(closeness.values())
    weights = {key: math.exp(value - most) for key, value in closeness.items()}
    return {key: weight / sum(weights.values()) for key, weight in weights.items()}


def slow(
    patches: torch.Tensor, grid: tuple[int, int], clusters: tuple[int, int], temperature: float
) -> tuple[list[torch.Tensor], list[float], list[dict[int, float]]]:
    """The paper patch by patch, in double precision.

    Returns:
        The clusters, how many patches each stands for, and for every patch the share of each cluster in it.
    """
    (rows, columns), (down, across) = grid, clusters
    patches = patches.double()
    begins = {}
    for patch in range(rows * columns):
        row, column = divmod(patch, columns)
        begins[patch] = (row * down // rows, column * across // columns)
    centres = {}
    for row in range(down):
        for column in range(across):
            inside = [
                patches[i * columns + j]
                for i in range(row * rows // down, math.ceil((row + 1) * rows / down))
                for j in range(column * columns // across, math.ceil((column + 1) * columns / across))
            ]
            centres[row, column] = torch.stack(inside).mean(dim=0)

    def away(patch: int, place: tuple[int, int]) -> float:
        return float((patches[patch] - centres[place]).square().sum())

    heat = temperature * sum(away(patch, place) for patch, place in begins.items()) / len(begins)
    for _ in range(5):
        shares = [
            softmax(
                {
                    place: -away(patch, place) / heat
                    for place in centres
                    if abs(place[0] - begins[patch][0]) <= 2 and abs(place[1] - begins[patch][1]) <= 2
                }
            )
            for patch in begins
        ]
        mass = {place: sum(share.get(place, 0) for share in shares) for place in centres}
        centres = {
            place: sum(share.get(place, 0) * patches[patch] for patch, share in enumerate(shares))
            / mass[place]
            for place in centres
        }
    order = list(centres)
    mix = []
    for patch in begins:
        nearest = sorted(order, key=lambda place, patch=patch: away(patch, place))[:20]
        mix.append(softmax({order.index(place): -away(patch, place) / heat for place in nearest}))
    return list(centres.values()), list(mass.values()), mix


def case(grid: tuple[int, int], images: int, prefix: int) -> PackedTokens:
    return packed([prefix + grid[0] * grid[1]] * images, prefix)


@pytest.mark.parametrize("prefix", [0, 1, 5])
@pytest.mark.parametrize(
    ("grid", "clusters"), [((6, 6), (4, 4)), ((8, 6), (3, 2)), ((7, 12), (6, 8)), ((3, 3), (1, 1))]
)
def test_clusters_and_the_way_back_are_the_paper_written_out_patch_by_patch(prefix, grid, clusters):
    tokens = case(grid, 2, prefix)

    plan = ClusterStep(grid, clusters)(4, 12, tokens)

    left = clusters[0] * clusters[1]
    assert plan.kept_list() == [left] * 2
    made, sizes = plan.regroup(tokens.tokens, tokens.sizes, torch.tensor(tokens.lengths))
    restored = plan.restore(made)
    for index in range(2):
        before, after = image(tokens, index).tokens, made.view(2, prefix + left, -1)[index]
        centres, mass, mix = slow(before[prefix:], grid, clusters, TEMPERATURE)
        assert torch.equal(after[:prefix], before[:prefix])
        torch.testing.assert_close(after[prefix:], torch.stack(centres).float())
        torch.testing.assert_close(sizes.view(2, -1)[index, prefix:], torch.tensor(mass))
        for patch, shares in enumerate(mix):
            expected = sum(share * centres[place] for place, share in shares.items())
            torch.testing.assert_close(restored[index, prefix + patch], expected.float())


def test_the_clusters_stand_for_all_patches_together():
    tokens = case((8, 8), 3, 1)

    _, sizes = ClusterStep((8, 8), (5, 5))(4, 12, tokens).regroup(
        tokens.tokens, tokens.sizes, torch.tensor(tokens.lengths)
    )

    assert sizes.view(3, -1)[:, 1:].sum(dim=1).tolist() == pytest.approx([64] * 3)


def test_patches_of_two_kinds_come_back_as_they_were():
    tokens = case((8, 8), 1, 1)
    # A disc, whose edge does not follow the grid of clusters.
    row, column = torch.arange(8).repeat_interleave(8), torch.arange(8).repeat(8)
    inside = (row - 3.2).square() + (column - 4.1).square() < 6
    kinds = tokens.tokens[1:3].clone()
    tokens.tokens[1:] = torch.where(inside[:, None], kinds[0], kinds[1])

    plan = ClusterStep((8, 8), (4, 4))(4, 12, tokens)

    restored = plan.restore(plan.regroup(tokens.tokens, tokens.sizes, torch.tensor([65]))[0])[0]
    apart = (tokens.tokens[1:] - restored[1:]).norm(dim=1).max()
    assert apart < 0.05 * (kinds[0] - kinds[1]).norm()


def test_patches_that_are_all_the_same_stay_so():
    tokens = case((4, 4), 1, 1)
    tokens.tokens[1:] = tokens.tokens[1]

    plan = ClusterStep((4, 4), (2, 2))(4, 12, tokens)

    made, _ = plan.regroup(tokens.tokens, tokens.sizes, torch.tensor([17]))
    torch.testing.assert_close(plan.restore(made)[0], tokens.tokens)


def test_it_clusters_once_and_only_where_every_patch_is_a_token():
    step, tokens = ClusterStep((6, 6), (4, 4)), case((6, 6), 2, 1)

    for layers, after in ((2, 0), (3, 0), (12, 4), (24, 9)):
        assert [layer for layer in range(layers) if step(layer, layers, tokens) is not None] == [after]
    assert step(4, 12, packed([36, 37], 1)) is None


def test_there_are_so_many_times_fewer_clusters_along_each_side():
    images = torch.zeros(2, 3, 112, 56)

    assert ClusterTokenizer(2).plan(images, 14).steps == (ClusterStep((8, 4), (4, 2)),) * 2
    assert ClusterTokenizer(1.5).step(16, 16) == ClusterStep((16, 16), (11, 11))
    assert ClusterTokenizer(8).step(3, 16) == ClusterStep((3, 16), (1, 2))
    assert ClusterTokenizer(1).plan(images, 14).steps == ()


def test_clustering_and_the_way_back_are_counted_in_operations():
    assert ClusterStep((16, 16), (8, 8)).flops(256, 6, 64) == 2 * 256 * 64 * 384 * 12


def test_growing_is_refused():
    with pytest.raises(UsageError, match=r"--shrink 0\.5"):
        ClusterTokenizer(0.5)
