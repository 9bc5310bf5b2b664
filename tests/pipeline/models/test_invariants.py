"""Design invariants 1 and 2 for every family: keep-all is plain timm, and batch mates do not matter."""

import pytest
import torch

from pipeline.models.encoder import PackedEncoder
from pipeline.models.refusal import parts_of
from pipeline.tokenizers import (
    AtsTokenizer,
    ClusterTokenizer,
    FullTokenizer,
    InterTokenizer,
    IntraTokenizer,
    MctfTokenizer,
    MergeTokenizer,
    PitomeTokenizer,
    PruneTokenizer,
    RandomTokenizer,
    Tokenizer,
    TokenPlan,
    ZeroTPruneTokenizer,
)
from pipeline.tokenizers.registry import TOKENIZERS, taken_with
from tests.pipeline.models.families import FAMILIES, build, images_for
from vocab.patches import patchify
from vocab.words import Vocabulary


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    model = build(request.param)
    images = images_for(model)
    with torch.inference_mode():
        plain = model.forward_features(images), model(images)
    return PackedEncoder(model), images, plain


def all_kept_but_not_known_to_be(encoder: PackedEncoder, images: torch.Tensor) -> TokenPlan:
    """Keeps everything along the ragged path, as a tokenizer that found nothing to merge does."""
    plan = FullTokenizer().plan(images, encoder.patch_size, encoder.prefix)
    return TokenPlan(plan.group, plan.kept, plan.prefix)


def tokenizers(encoder: PackedEncoder, images: torch.Tensor) -> list[Tokenizer]:
    """Every tokenizer that the model takes, set so that it changes something."""
    patches = patchify(images, encoder.patch_size).flatten(0, 1)
    vocabulary = Vocabulary.learn(patches, 40)
    every = [
        FullTokenizer(),
        IntraTokenizer(0.4),
        MergeTokenizer(40),
        PitomeTokenizer(0.3),
        MctfTokenizer(20),
        ClusterTokenizer(2),
        AtsTokenizer(0.4),
        ZeroTPruneTokenizer(0.4),
        PruneTokenizer(0.4),
        RandomTokenizer(0.4),
        InterTokenizer(vocabulary, 0.2),
    ]
    # Those that only remember a stream are in test_recalling.py.
    assert {tokenizer.name for tokenizer in every} == set(TOKENIZERS) - {"recall"}
    return [tokenizer for tokenizer in every if tokenizer.name in taken_with(parts_of(encoder.model))]


NEUTRAL = (
    IntraTokenizer(0),
    MergeTokenizer(0),
    PitomeTokenizer(0),
    MctfTokenizer(0),
    ClusterTokenizer(1),
    AtsTokenizer(0),
    ZeroTPruneTokenizer(0),
    PruneTokenizer(0),
    RandomTokenizer(0),
)


@torch.inference_mode()
def test_keeping_all_gives_the_plain_output_of_timm(family):
    encoder, images, (features, scores) = family
    for plan in (
        FullTokenizer().plan(images, encoder.patch_size, encoder.prefix),
        all_kept_but_not_known_to_be(encoder, images),
        *(tokenizer.plan(images, encoder.patch_size, encoder.prefix) for tokenizer in NEUTRAL),
    ):
        kept = encoder.encode(images, plan)

        torch.testing.assert_close(kept.tokens, features.flatten(0, 1), atol=1e-5, rtol=0)
        torch.testing.assert_close(encoder.head(kept), scores, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_the_model_still_works_unpacked_after_it_was_adapted(family):
    encoder, images, (_, scores) = family

    assert torch.equal(encoder.model(images), scores)


@torch.inference_mode()
def test_a_result_does_not_depend_on_its_batch_mates(family):
    encoder, images, _ = family
    for tokenizer in tokenizers(encoder, images):
        plan = tokenizer.plan(images, encoder.patch_size, encoder.prefix)
        together = encoder.encode(images, plan)
        parts = together.tokens.split(list(together.segments.lengths))
        scores = encoder.head(together)
        for index in range(len(images)):
            alone = images[index : index + 1]
            single = encoder.encode(alone, tokenizer.plan(alone, encoder.patch_size, encoder.prefix))

            torch.testing.assert_close(parts[index], single.tokens, atol=1e-5, rtol=0)
            torch.testing.assert_close(scores[index], encoder.head(single)[0], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_images_of_a_batch_keep_different_numbers_of_tokens(family):
    encoder, images, _ = family
    images = images.clone()
    images[1] = 0.4
    *_, inter = tokenizers(encoder, images)

    kept = inter.plan(images, encoder.patch_size, encoder.prefix).kept_list()

    assert len(set(kept)) > 1
    assert kept[1] == 1


@torch.inference_mode()
def test_merging_patches_changes_the_output(family):
    """Guards the guards: the comparisons above would pass with a model that ignores its tokens."""
    encoder, images, (_, scores) = family
    _, *changing = tokenizers(encoder, images)
    for tokenizer in changing:
        plan = tokenizer.plan(images, encoder.patch_size, encoder.prefix)

        assert (encoder.head(encoder.encode(images, plan)) - scores).abs().max() > 1e-4


@torch.inference_mode()
def test_dropping_patches_equals_the_patch_drop_of_timm(family):
    """timm drops patches too, the same number per image: an independent answer for `intra`."""
    encoder, images, _ = family
    plan = IntraTokenizer(0.4).plan(images, encoder.patch_size, encoder.prefix)
    keep = torch.stack([(~dropped).nonzero().flatten() for dropped in plan.dropped])
    model = encoder.model

    class Keep(torch.nn.Module):
        def forward(self, x):
            rows = torch.cat([torch.arange(encoder.prefix).expand(len(x), -1), keep + encoder.prefix], dim=1)
            kept = x.gather(1, rows[..., None].expand(-1, -1, x.shape[-1]))
            return (kept, keep) if type(model).__name__ == "Eva" else kept

    original, model.patch_drop = model.patch_drop, Keep()
    try:
        features = model.forward_features(images)
        scores = model.forward_head(features)
    finally:
        model.patch_drop = original
    own = encoder.encode(images, plan)
    torch.testing.assert_close(own.tokens, features.flatten(0, 1), atol=1e-5, rtol=0)
    torch.testing.assert_close(encoder.head(own), scores, atol=1e-5, rtol=0)
