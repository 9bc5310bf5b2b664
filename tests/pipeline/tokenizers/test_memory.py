"""What a stream keeps: in place, in fewer bits, and every token by itself."""

import pytest
import torch

from pipeline.tokenizers.stateful import BlockMemory, Memory

TOKENS, HEADS, WIDTH = 20, 3, 16
ROWS = torch.tensor([0, 4, 19])
TYPES = [torch.float32, torch.bfloat16, torch.int8]


def numbers(seed: int, count: int = TOKENS) -> tuple[torch.Tensor, torch.Tensor]:
    keys, values = torch.randn(2, HEADS, count, WIDTH, generator=torch.Generator().manual_seed(seed))
    return keys, values


def written(dtype: torch.dtype) -> BlockMemory:
    memory = BlockMemory(dtype)
    memory.write(*numbers(0), None)
    return memory


@pytest.mark.parametrize(
    ("dtype", "step"), [(torch.float32, 0), (torch.bfloat16, 2**-7), (torch.int8, 1 / 127)]
)
def test_what_is_read_is_what_was_written_up_to_half_a_step_of_its_type(
    dtype: torch.dtype, step: float
) -> None:
    memory = written(dtype)
    for fresh, kept in zip(numbers(0), (memory.keys, memory.values), strict=True):
        largest = fresh.abs().amax(dim=2, keepdim=True)
        assert ((kept - fresh).abs() <= 0.501 * step * largest).all()


@pytest.mark.parametrize("dtype", TYPES)
def test_writing_some_tokens_leaves_the_others_as_they_were(dtype: torch.dtype) -> None:
    memory, fresh = written(dtype), BlockMemory(dtype)
    before = memory.keys.clone(), memory.values.clone()
    keys, values = numbers(1, len(ROWS))

    memory.write(keys, values, ROWS)

    fresh.write(keys, values, None)
    others = [row for row in range(TOKENS) if row not in ROWS.tolist()]
    for old, new, alone in zip(before, (memory.keys, memory.values), (fresh.keys, fresh.values), strict=True):
        assert torch.equal(new[:, others], old[:, others])
        assert torch.equal(new[:, ROWS], alone)


def test_in_int8_a_large_token_or_head_costs_the_others_nothing() -> None:
    keys, values = numbers(0)
    large = keys.clone()
    large[1, 5] *= 1000
    memory, plain = BlockMemory(torch.int8), BlockMemory(torch.int8)
    memory.write(large, values, None)
    plain.write(keys, values, None)

    same = (memory.keys == plain.keys).all(dim=2)

    assert (~same).nonzero().tolist() == [[1, 5]]


def test_in_int8_a_token_of_zeros_stays_one() -> None:
    memory = BlockMemory(torch.int8)
    memory.write(torch.zeros(HEADS, 4, WIDTH), torch.zeros(HEADS, 4, WIDTH), None)

    assert not memory.keys.any()


@pytest.mark.parametrize(("dtype", "each"), [(torch.float32, 4), (torch.bfloat16, 2), (torch.int8, 1)])
def test_it_says_what_it_takes(dtype: torch.dtype, each: int) -> None:
    memory = Memory(dtype)
    assert memory.bytes == 0
    for layer in range(2):
        memory.block(layer).write(*numbers(layer), None)
    memory.tokens = torch.zeros(TOKENS, 8)

    scales = 4 if dtype == torch.int8 else 0
    blocks = 2 * 2 * TOKENS * HEADS * (WIDTH * each + scales)
    assert memory.bytes == blocks + TOKENS * 8 * 4


@pytest.mark.parametrize("dtype", TYPES)
def test_nothing_can_be_recalled_before_there_was_a_whole_frame(dtype: torch.dtype) -> None:
    memory = BlockMemory(dtype)

    with pytest.raises(IndexError, match="nothing to recall"):
        memory.write(*numbers(1, len(ROWS)), ROWS)


def test_keys_in_int8_are_read_in_the_type_they_were_written_in() -> None:
    memory = BlockMemory(torch.int8)
    memory.write(*(part.bfloat16() for part in numbers(0)), None)

    assert memory.keys.dtype == memory.values.dtype == torch.bfloat16
