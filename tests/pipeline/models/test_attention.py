import pytest
import torch

from pipeline.models.attention import (
    Segments,
    StaticSegments,
    attend_part,
    bias_as_channels,
    ragged_attention,
)

CPU = torch.device("cpu")
LENGTHS = [[5, 5], [7, 2, 4]]


def qkv(lengths: list[int], width: int = 8) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(sum(lengths), 3, width, generator=generator) for _ in range(3)]


def bias_for(lengths: list[int]) -> torch.Tensor:
    return torch.arange(1.0, sum(lengths) + 1).log()


def weights(query: torch.Tensor, key: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """(T, H, D) queries, keys and (S,) bias of one sequence -> (H, T, S), written out."""
    scores = torch.einsum("thd,shd->hts", query, key) / query.shape[-1] ** 0.5
    return (scores + bias).softmax(dim=-1)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_a_bias_on_the_keys_is_added_to_their_scores(lengths):
    query, key, value = qkv(lengths)
    bias, segments = bias_for(lengths), Segments.of(lengths, CPU)

    mixed = ragged_attention(query, key, value, segments, segments, bias)

    parts = zip(*(x.split(lengths) for x in (query, key, value, bias)), strict=True)
    expected = [torch.einsum("hts,shd->thd", weights(q, k, b), v) for q, k, v, b in parts]
    torch.testing.assert_close(mixed, torch.cat(expected))


def test_static_segments_are_what_their_offsets_say_at_the_time():
    static = StaticSegments(torch.zeros(5, dtype=torch.int32), longest=13)
    for lengths in ([7, 2, 4], [5, 8], [13]):
        query, key, value = qkv(lengths)
        segments = Segments.of(lengths, CPU)
        static.offsets[: len(lengths) + 1] = segments.offsets
        static.offsets[len(lengths) + 1 :] = sum(lengths)

        mixed = ragged_attention(query, key, value, static, static)

        torch.testing.assert_close(mixed, ragged_attention(query, key, value, segments, segments))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("start", "end"), [(0, 3), (7, 18), (21, 24), (0, 24), (5, 5)])
def test_a_part_of_the_queries_attends_as_if_it_were_alone(dtype, start, end):
    query, key, value = (x.to(dtype) for x in qkv([24]))
    part = query[start:end].float()

    heads_first = (x.transpose(0, 1) for x in (key[:9], value[:9]))
    mixed = attend_part(query.transpose(0, 1), start, end, *heads_first)

    paid = weights(part, key[:9].float(), torch.zeros(9))
    expected = torch.einsum("hts,shd->thd", paid, value[:9].float()).to(dtype)
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(mixed, expected, rtol=tolerance, atol=tolerance)


def test_a_key_with_the_log_of_its_size_counts_as_that_many_keys():
    (query, key, value), counts = qkv([4]), torch.tensor([1, 3, 2, 5])
    asks, keys, repeated = (Segments.of([n], CPU) for n in (4, 4, 11))
    biased = ragged_attention(query, key, value, asks, keys, counts.float().log())

    many = (x.repeat_interleave(counts, dim=0) for x in (key, value))

    torch.testing.assert_close(biased, ragged_attention(query, *many, asks, repeated))


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("width", [8, 80])
def test_a_bias_as_channels_is_the_bias(lengths, width):
    query, key, value = qkv(lengths, width)
    bias, segments = bias_for(lengths), Segments.of(lengths, CPU)

    wide = bias_as_channels(query, key, value, bias)

    assert all(x.shape[-1] == width + 8 for x in wide)
    # Attention over the wider channels scales by their number; the queries make up for it.
    query_wide = wide[0] * ((width + 8) / width) ** 0.5
    mixed = ragged_attention(query_wide, *wide[1:], segments, segments)[..., :width]
    torch.testing.assert_close(mixed, ragged_attention(query, key, value, segments, segments, bias))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("width", [64, 72, 80])
def test_a_bias_as_channels_keeps_its_digits_in_half_precision(dtype, width):
    bias = torch.arange(1.0, 258).log()
    zeros = torch.zeros(len(bias), 1, width, dtype=dtype)

    query, key, _ = bias_as_channels(zeros, zeros, zeros, bias)

    scores = (query[0].float() * key.float()).sum(dim=-1)[:, 0] * width**-0.5
    torch.testing.assert_close(scores, bias, rtol=1e-4, atol=0)
