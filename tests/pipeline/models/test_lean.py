import pytest
import torch

import pipeline.models  # noqa: F401  (lets timm import beside any torchvision)
from pipeline.models.adapters import adapt
from pipeline.models.attention import Segments
from pipeline.models.context import AttentionContext
from pipeline.models.lean import LeanBlock, plainly
from pipeline.models.linear import fix_blocks
from tests.pipeline.models.families import build


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
@torch.inference_mode()
def test_a_lean_block_gives_what_the_block_gives(dtype, near):
    model = build("dinov2")
    adapt(model)
    model.blocks.to(dtype)
    fix_blocks(model.blocks)
    tokens = torch.randn(13, model.embed_dim).to(dtype)
    context = AttentionContext(Segments.of([4, 9], tokens.device))

    for block in model.blocks:
        assert LeanBlock.takes(block)
        lean, plain = LeanBlock(block)(tokens, context, None), plainly(block)(tokens, context, None)
        torch.testing.assert_close(lean, plain, atol=near, rtol=near)


def test_blocks_that_are_not_fixed_are_not_taken():
    model = build("dinov2")
    adapt(model)

    assert not any(LeanBlock.takes(block) for block in model.blocks)
