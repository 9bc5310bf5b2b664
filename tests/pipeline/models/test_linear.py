import pytest
import torch

import pipeline.models  # noqa: F401  (lets timm import beside any torchvision)
from pipeline.models.encoder import PackedEncoder
from pipeline.models.linear import FixedLinear, fix_blocks
from pipeline.tokenizers import FullTokenizer, TokenPlan
from tests.pipeline.models.families import FAMILIES, build, images_for


@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_fixed_blocks_give_the_plain_output_of_timm(family):
    model = build(family)
    images = images_for(model)
    features, scores = model.forward_features(images), model(images)
    encoder = PackedEncoder(model)

    fix_blocks(model.blocks)

    plan = FullTokenizer().plan(images, encoder.patch_size, encoder.prefix)
    ragged = encoder.encode(images, TokenPlan(plan.group, plan.kept, plan.prefix))
    assert any(isinstance(module, FixedLinear) for module in model.modules())
    torch.testing.assert_close(ragged.tokens, features.flatten(0, 1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encoder.head(ragged), scores, atol=1e-5, rtol=1e-5)
