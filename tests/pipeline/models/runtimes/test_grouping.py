import itertools

import torch

from pipeline.models.runtimes.grouping import _CALL, Group, groups_of


def cost(parts: list[list[int]]) -> int:
    return sum(_CALL + max(part) * len(part) for part in parts)


def partitions(items: list[int]):
    """Every way to part a list, by brute force."""
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for count in range(len(rest) + 1):
        for mates in itertools.combinations(range(len(rest)), count):
            left = [item for index, item in enumerate(rest) if index not in mates]
            for parted in partitions(left):
                yield [[first, *(rest[index] for index in mates)], *parted]


def test_no_other_parting_costs_less() -> None:
    generator = torch.Generator().manual_seed(0)
    for spread in (3, 30, 300):
        lengths = torch.randint(1, spread, (6,), generator=generator).tolist()

        parted = [list(group.lengths) for group in groups_of(lengths)]

        assert cost(parted) == min(cost(parts) for parts in partitions(lengths))


def test_equal_lengths_run_together_and_far_ones_apart() -> None:
    assert [sorted(group.lengths) for group in groups_of([9, 9, 9])] == [[9, 9, 9]]
    assert sorted(list(group.lengths) for group in groups_of([9, 200])) == [[9], [200]]


def test_rows_come_back_to_where_they_were() -> None:
    lengths = [3, 7, 4, 90]
    packed = torch.randn(sum(lengths), 5)
    result = torch.zeros_like(packed)
    for group in groups_of(lengths):
        result[group.rows] = group.unpadded(group.padded(packed))

    assert torch.equal(result, packed)


def test_padding_is_what_was_asked_for() -> None:
    padded = Group([0, 2], [2, 1]).padded(torch.arange(3.0), padding=-torch.inf)

    assert torch.equal(padded, torch.tensor([[0.0, 1.0], [2.0, -torch.inf]]))
