"""What cannot drop and merge tokens is refused by name, and runs in full where it can."""

import numpy as np
import pytest
import timm
import torch

from pipeline.engine import Engine
from pipeline.errors import ModelError
from pipeline.frame import Frame, Geometry
from pipeline.models import PlainModel, load_model, model_input
from pipeline.models.adapters import adapt
from pipeline.models.refusal import refusal
from pipeline.tokenizers import FullTokenizer


def build(name: str, **options: object) -> torch.nn.Module:
    with torch.device("meta"):
        return timm.create_model(name, **options)


def test_an_adapted_model_is_taken_again():
    model = build("vit_tiny_patch16_224")
    adapt(model)

    assert refusal(model) is None


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("resnet18", "ResNet is not a plain Vision Transformer"),
        ("beit_base_patch16_224", "Beit is not a plain"),
        ("samvit_base_patch16_224", "VisionTransformerSAM is not a plain"),
        ("swin_tiny_patch4_window7_224", "SwinTransformer is not a plain"),
        ("vit_small_patch16_rope_mixed_224", "rotary embedding differs"),
        ("vit_small_patch16_18x2_224", r"its blocks \(ParallelThingsBlock\) have no packed form"),
        ("vit_dwee_patch16_reg1_gap_256", r"its attention \(DiffAttention\) has no packed form"),
        ("vitamin_small_224", "its tokens are made by HybridEmbed"),
        ("vit_tiny_r_s16_p8_224", "its tokens are made by HybridEmbed"),
        ("vit_base_mci_224", "its tokens are made by HybridEmbed"),
        ("vit_so400m_patch14_siglip_384", "patches of 14 pixels do not fill its input of 384x384"),
    ],
)
def test_a_model_that_cannot_drop_tokens_is_refused_with_the_reason(name, says):
    with pytest.raises(ValueError, match=says):
        raise ValueError(refusal(build(name)))
    assert model_input(name)[1] is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"patch_size": (16, 8)}, "square patches of 16 pixels do not fill"),
        ({"global_pool": "max"}, r"its pooling \(max\)"),
        ({"global_pool": "prr"}, r"its pooling \(AttentionPoolPrr\)"),
    ],
)
def test_an_unusual_build_of_a_family_is_refused_with_the_reason(options, says):
    with pytest.raises(ValueError, match=says):
        raise ValueError(refusal(build("vit_tiny_patch16_224", **options)))


def softmax_of_the_best(scores):
    return scores.softmax(dim=-1).topk(5).values


def of_unit_length(vector):
    return vector / vector.norm()


@pytest.mark.parametrize(
    ("name", "said", "expected"),
    [
        ("vitamin_small_224", lambda prediction: prediction.embedding, of_unit_length),
        ("vit_base_mci_224", lambda prediction: prediction.embedding, of_unit_length),
        (
            "vit_tiny_r_s16_p8_224",
            lambda prediction: [label.score for label in prediction.labels],
            softmax_of_the_best,
        ),
    ],
)
def test_a_hybrid_runs_in_full_as_timm_runs_it(name, said, expected):
    model = load_model(name, weights="random")
    assert isinstance(model, PlainModel)
    assert model.tokenizers == ("full",)
    engine = Engine(model)
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    frame = Frame(0.0, image, Geometry(224, 224, 224, 224, 1, 1, 0, 0))

    (output,) = engine.submit([frame], FullTokenizer()).result().frames

    torch.manual_seed(0)
    reference = timm.create_model(name).eval()
    with torch.inference_mode():
        (scores,) = reference(engine.normalise(torch.from_numpy(image)[None]))
    assert output.tokens_full is None
    assert said(output.prediction) == pytest.approx(expected(scores).tolist(), abs=1e-6)


def test_an_encoder_without_a_head_is_refused_by_name():
    says = "cannot run model 'qwen3_vit_88m_enc': Qwen3VitEncoder .*; name a classifier or a feature model"
    with torch.device("meta"), pytest.raises(ModelError, match=says):
        load_model("qwen3_vit_88m_enc", weights="random", device="meta")
