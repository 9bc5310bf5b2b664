"""Class names come from timm's tables, and only where they are certain."""

import pytest

from pipeline.models.labels import imagenet_labels  # isort: skip  (makes timm importable)
import timm


def vit_tiny(variant: str = "vit_tiny_patch16_224", **options):
    return timm.create_model(variant, depth=1, **options)


@pytest.mark.parametrize(
    ("variant", "count", "index", "name"),
    [
        ("vit_tiny_patch16_224.augreg_in21k_ft_in1k", 1000, 0, "tench, Tinca tinca"),
        (
            "vit_tiny_patch16_224.augreg_in21k_ft_in1k",
            1000,
            999,
            "toilet tissue, toilet paper, bathroom tissue",
        ),
        ("vit_tiny_patch16_224.augreg_in21k", 21843, 1, "benthos"),
    ],
)
def test_a_classifier_names_its_imagenet_classes(variant, count, index, name):
    labels = imagenet_labels(vit_tiny(variant))
    assert len(labels) == count
    assert labels[index] == name


@pytest.mark.parametrize("classes", [11221, 11821, 21841, 21842])
def test_every_subset_timm_knows_has_a_name_per_class(classes):
    labels = imagenet_labels(vit_tiny(num_classes=classes))
    assert len(labels) == classes
    assert all(labels)


def test_a_head_of_another_size_has_no_names():
    assert imagenet_labels(vit_tiny(num_classes=37)) is None


def test_a_model_without_a_classifier_has_no_names():
    assert imagenet_labels(vit_tiny(num_classes=0)) is None


def test_the_models_own_names_come_before_imagenets():
    names = [f"part {i}" for i in range(1000)]
    config = {"label_names": names, "label_descriptions": {"part 1": "a bolt"}}
    labels = imagenet_labels(vit_tiny(pretrained_cfg_overlay=config))
    assert labels[:3] == ["part 0", "a bolt", "part 2"]
