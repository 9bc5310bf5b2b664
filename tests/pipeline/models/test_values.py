"""What attention takes from each patch is given as it was computed, however a frame was answered."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from pipeline.engine import Engine
from pipeline.input_spec import InputSpec
from pipeline.models.heads import LabelHead
from pipeline.models.packed import PackedModel
from pipeline.stacking import Part
from pipeline.tokenizers import FullTokenizer, MergeTokenizer, RecallTokenizer, Tokenizer
from tests.pipeline.models.families import build
from tests.pipeline.tokenizers.test_recall import PATCHES, SIDE, changed, clip, still


@pytest.fixture(scope="module")
def engine() -> Engine:
    model = build("dinov2 with registers", 4)
    return Engine(PackedModel("small", model, LabelHead(None), InputSpec(SIDE, SIDE)))


def values(engine: Engine, part: Part, *mates: Part) -> list[npt.NDArray[np.float32]]:
    """(N, C) of each frame of a part."""
    outputs = engine.submit_parts([part, *mates]).result().frames[: len(part.frames)]
    assert all(output.values is not None for output in outputs)
    return [output.values.reshape(PATCHES, -1) for output in outputs if output.values is not None]


def asking(images: list[npt.NDArray[np.uint8]], tokenizer: Tokenizer | RecallTokenizer) -> Part:
    return Part(clip(*images), tokenizer, patches=True, values=True)


def test_they_are_of_the_block_at_three_quarters_of_the_depth(engine: Engine) -> None:
    encoder = engine.model.encoder  # type: ignore[attr-defined]
    block = round(3 * encoder.depth / 4)
    seen: list[torch.Tensor] = []
    hook = encoder.model.blocks[block - 1].attn.inner.qkv.register_forward_hook(
        lambda _module, _inputs, output: seen.append(output.detach())
    )
    try:
        (given,) = values(engine, asking([still()], FullTokenizer()))
    finally:
        hook.remove()
    expected = torch.nn.functional.normalize(seen[0][encoder.prefix :].chunk(3, dim=-1)[2], dim=-1)
    np.testing.assert_allclose(given, expected.numpy(), atol=1e-6)


@pytest.mark.usefixtures("trusting")
def test_recall_gives_those_of_the_positions_that_ran_and_remembers_the_others(engine: Engine) -> None:
    tokenizer = RecallTokenizer(0.98, cache="fp32")
    tokenizer.everywhere = True
    images = [still(), changed(still(), 20), changed(still(), 20)]
    first, second, held = values(engine, asking(images, tokenizer))
    np.testing.assert_allclose(first, values(engine, asking(images[:1], FullTokenizer()))[0], atol=1e-5)
    moved = np.abs(second - first).max(axis=1) > 1e-6
    assert moved[20]
    assert 0 < moved.sum() < PATCHES
    np.testing.assert_array_equal(held, second)
    full = values(engine, asking(images[1:2], FullTokenizer()))[0]
    assert full[20] @ second[20] > 0.98


def test_members_of_a_merged_token_have_what_it_has(engine: Engine) -> None:
    (given,) = values(engine, asking([still()], MergeTokenizer(r=8)))
    assert len(np.unique(given.round(5), axis=0)) < PATCHES
    np.testing.assert_allclose(np.linalg.norm(given, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("asked", [True, False])
def test_batch_mates_do_not_matter(engine: Engine, asked: bool) -> None:
    mates = [
        Part(clip(still(5)), MergeTokenizer(r=8), patches=asked, values=asked),
        Part(clip(still(6)), RecallTokenizer(0.98), patches=asked, values=asked),
    ]
    (alone,) = values(engine, asking([still()], FullTokenizer()))
    (among,) = values(engine, asking([still()], FullTokenizer()), *mates)
    np.testing.assert_allclose(among, alone, atol=1e-5)


def test_who_does_not_ask_gets_none(engine: Engine) -> None:
    part = asking([still()], FullTokenizer())
    (output,) = engine.submit_parts([part._replace(values=False)]).result().frames
    assert output.patches is not None
    assert output.values is None
