"""Image towers that were trained beside text give vectors; timm calls their width a number of classes."""

import pytest
import torch
from torch.nn.functional import normalize

from pipeline.models import load_model, published
from pipeline.models.labels import projects
from pipeline.models.timm_import import timm
from tests.pipeline.models.predicting import predict

TOWERS = [
    "vit_xsmall_patch16_clip_224.tinyclip_yfcc15m",
    "vit_base_patch16_clip_224.openai",
    "eva02_base_patch16_clip_224.merged2b",
    "vit_pe_core_tiny_patch16_384.fb",
    "convnext_base.clip_laion2b",
    "fastvit_mci0.apple_mclip",
    "vit_base_mci_224.apple_mclip",
    "vitamin_small_224.datacomp1b_clip",
    "resnet50_clip.openai",
]
CLASSIFIERS = [
    "vit_base_patch16_clip_224.openai_ft_in1k",
    "vit_base_patch16_clip_224.openai_ft_in12k",
    "convnext_base.clip_laion2b_augreg_ft_in12k",
    "convnext_base.fb_in1k",
    "vit_base_patch16_224.augreg_in21k",
    "vit_base_patch16_224.bamboo",
    "mvitv2_base_cls.fb_inw21k",
    "focalnet_large_fl3.ms_in22k",
    "mobilenetv3_large_100.miil_in21k",
]


def on_meta(name, **options):
    with torch.device("meta"):
        return timm.create_model(name, **options)


@pytest.mark.parametrize("name", TOWERS)
def test_a_tower_is_known_by_its_architecture_and_tag(name):
    assert projects(on_meta(name))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_is_one_also_where_it_began_as_a_tower(name):
    assert not projects(on_meta(name))


def test_a_head_of_own_classes_on_a_tower_is_a_classifier():
    assert not projects(on_meta("vit_base_patch16_clip_224.openai", num_classes=7))


def test_a_model_that_names_its_classes_is_a_classifier_however_many_there_are():
    config = {"label_names": [f"part {index}" for index in range(512)]}
    assert not projects(on_meta("vit_base_patch16_clip_224.openai", pretrained_cfg_overlay=config))


def test_no_published_weights_answer_with_a_class_that_no_table_has():
    """What timm says of all its weights; a new kind of tower would fail here."""
    beside_text = [one for one in published("*") if one.prediction == "embedding" and one.size]
    assert len(beside_text) >= 113
    assert all(one.size % 64 == 0 for one in beside_text)
    assert not [one for one in published("*") if one.prediction == "labels" and one.size % 64 == 0]


@pytest.mark.parametrize(
    ("name", "side"),
    [("vit_xsmall_patch16_clip_224", 224), ("vit_pe_core_tiny_patch16_384", 384), ("fastvit_mci0", 256)],
)
@pytest.mark.parametrize("embedding_only", [False, True])
def test_a_tower_gives_its_projected_vector_of_unit_length(name, side, embedding_only):
    tagged = timm.list_pretrained(f"{name}.*")[0]
    images = torch.randn(2, 3, side, side)

    predictions = predict(load_model(tagged, "random", embedding_only=embedding_only), images)

    torch.manual_seed(0)
    with torch.inference_mode():
        expected = normalize(timm.create_model(tagged).eval()(images), dim=-1)
    for prediction, vector in zip(predictions, expected, strict=True):
        assert (prediction.kind, prediction.labels) == ("embedding", ())
        torch.testing.assert_close(torch.tensor(prediction.embedding), vector, atol=1e-5, rtol=0)
