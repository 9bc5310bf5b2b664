"""What holds of every plan, whatever the groups: against a version written out patch by patch."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tokenizers import TokenPlan

CHANNELS = 3


def numbered(labels: list[int]) -> list[int]:
    """The same groups, numbered from 0 without gaps in the order they come; -1 stays -1."""
    order = [label for label in dict.fromkeys(labels) if label >= 0]
    return [order.index(label) if label >= 0 else -1 for label in labels]


@st.composite
def plans(draw: st.DrawFn, patches: int | None = None) -> TokenPlan:
    batch = draw(st.integers(1, 3))
    count = draw(st.integers(1, 8)) if patches is None else patches
    row = st.lists(st.integers(-1, count - 1), min_size=count, max_size=count).map(numbered)
    rows = [draw(row) for _ in range(batch)]
    kept = [max(row) + 1 for row in rows]
    uniform = kept[0] if len(set(kept)) == 1 and draw(st.booleans()) and kept[0] < count else None
    return TokenPlan(torch.tensor(rows), torch.tensor(kept), draw(st.integers(0, 2)), uniform)


def tokens_for(plan: TokenPlan) -> torch.Tensor:
    batch, patches = plan.group.shape
    return torch.randn(batch, plan.prefix + patches, CHANNELS, generator=torch.Generator().manual_seed(0))


def slowly_applied(plan: TokenPlan, tokens: torch.Tensor) -> torch.Tensor:
    rows = []
    for image, groups in enumerate(plan.group.tolist()):
        rows += list(tokens[image, : plan.prefix])
        for group in range(max(groups) + 1):
            members = [plan.prefix + patch for patch, its in enumerate(groups) if its == group]
            rows.append(tokens[image, members].mean(dim=0))
    return torch.stack(rows) if rows else tokens.new_zeros(0, CHANNELS)


@given(plans())
def test_apply_takes_the_mean_of_every_group_behind_the_prefix(plan: TokenPlan) -> None:
    tokens = tokens_for(plan)
    torch.testing.assert_close(plan.apply(tokens), slowly_applied(plan, tokens))


@given(plans())
def test_restore_gives_every_patch_its_token_and_applying_again_changes_nothing(plan: TokenPlan) -> None:
    packed = plan.apply(tokens_for(plan))
    restored = plan.restore(packed)
    own = packed.split(plan.lengths.tolist())
    for image, groups in enumerate(plan.group.tolist()):
        for patch, group in enumerate(groups):
            expected = torch.zeros(CHANNELS) if group < 0 else own[image][plan.prefix + group]
            assert torch.equal(restored[image, plan.prefix + patch], expected)
    torch.testing.assert_close(plan.apply(restored), packed)


@given(plans())
def test_every_patch_that_is_not_dropped_is_counted_in_one_token(plan: TokenPlan) -> None:
    sizes = plan.sizes(plan.prefix)
    assert len(sizes) == int(plan.lengths.sum())
    assert int(plan.sizes().sum()) == int((~plan.dropped).sum())


@given(st.integers(1, 8).flatmap(lambda patches: st.lists(plans(patches), min_size=1, max_size=4)))
def test_plans_joined_do_what_each_does_alone(parts: list[TokenPlan]) -> None:
    parts = [part for part in parts if part.prefix == parts[0].prefix]
    tokens = [tokens_for(part) for part in parts]
    together = TokenPlan.join(parts).apply(torch.cat(tokens))
    alone = [part.apply(some) for part, some in zip(parts, tokens, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone))


@given(plans(), st.data())
def test_a_plan_and_then_another_on_its_tokens_is_one_plan_for_the_patches(
    first: TokenPlan, data: st.DataObject
) -> None:
    width = max(first.kept_list())
    rows = []
    for kept in first.kept_list():
        labels = data.draw(st.lists(st.integers(-1, max(kept - 1, 0)), min_size=kept, max_size=kept))
        rows.append(numbered(labels) + [-1] * (width - kept))
    later = TokenPlan(
        torch.tensor(rows, dtype=torch.int64).reshape(len(rows), width),
        torch.tensor([max(row, default=-1) + 1 for row in rows]),
        first.prefix,
    )
    packed = first.apply(tokens_for(first))
    regrouped, sizes = later.regroup(packed, first.sizes(first.prefix), first.lengths)
    both = first.then(later)
    torch.testing.assert_close(regrouped, both.apply(tokens_for(first)))
    torch.testing.assert_close(sizes, both.sizes(first.prefix))
