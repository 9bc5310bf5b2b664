"""Labels from texts score as open_clip itself scores image and text, with the same random weights."""

import pytest
import torch

from pipeline.errors import ModelError, UsageError
from pipeline.models import load_model
from pipeline.models.text_tower import TextTower, text_labels, tower_of
from tests.pipeline.models.predicting import predict

open_clip = pytest.importorskip("open_clip")

NAMES = ["a forklift", "an empty aisle", "two people"]
TEMPLATES = ["a photo of {}.", "{} seen from above"]


@pytest.fixture(
    scope="module",
    params=[
        ("ViT-B-32", "vit_base_patch32_clip_224.laion2b", 224),
        ("PE-Core-T-16-384", "vit_pe_core_tiny_patch16_384.fb", 384),
    ],
)
def pair(request, tmp_path_factory):
    """A model of open_clip with random weights, in a file, and the image tower in timm that it has."""
    name, model, side = request.param
    torch.manual_seed(5)
    both = open_clip.create_model(name, pretrained_text=False).eval()
    path = tmp_path_factory.mktemp("pair") / "both.pth"
    torch.save(both.state_dict(), path)
    return name, model, side, both, str(path)


@torch.inference_mode()
def test_scores_are_those_of_open_clip(pair, tmp_path):
    name, model, side, both, path = pair
    images = torch.randn(2, 3, side, side)
    labels = text_labels(NAMES, model, TextTower(name, path), TEMPLATES)
    labels.save(tmp_path / "labels.safetensors")

    scored = predict(load_model(model, path, labels=tmp_path / "labels.safetensors", embedding=True), images)

    texts = open_clip.build_zero_shot_classifier(both, open_clip.get_tokenizer(name), NAMES, TEMPLATES)
    vectors = both.encode_image(images, normalize=True)
    cosines = vectors @ texts
    probabilities = (both.logit_scale.exp() * cosines).softmax(dim=-1)
    for prediction, vector, cosine, expected in zip(scored, vectors, cosines, probabilities, strict=True):
        own = torch.tensor(prediction.embedding)
        torch.testing.assert_close(own, vector, atol=1e-4, rtol=0)
        torch.testing.assert_close(labels.vectors @ own, cosine, atol=1e-4, rtol=0)
        found = {label.label: label.score for label in prediction.labels}
        assert found == pytest.approx(dict(zip(NAMES, expected.tolist(), strict=True)), abs=1e-4)


def test_texts_of_another_tower_are_refused(pair):
    name, model, _, _, path = pair
    other = "vit_large_patch14_clip_224.openai"
    with pytest.raises(UsageError, match=r"512 numbers wide and the pictures of model .* 768"):
        text_labels(NAMES, other, TextTower(name, path))
    labels = text_labels(NAMES, model, TextTower(name, path), temperature=0.5)
    assert labels.scale == 2


def test_the_tower_of_published_weights_is_found_where_both_packages_name_them():
    assert tower_of("vit_base_patch16_clip_224.openai").weights == "openai"
    assert tower_of("vit_base_patch16_clip_224.openai").name.startswith("ViT-B-16")
    with pytest.raises(UsageError, match="--text-model"):
        tower_of("resnet18.a1_in1k")
    with pytest.raises(UsageError, match="--text-model"):
        tower_of("dinov2_vits14_saliency")


@pytest.mark.parametrize(
    ("tower", "templates", "error", "says"),
    [
        (TextTower("ViT-B-33", "random"), TEMPLATES, UsageError, "it has ViT-B-32"),
        (TextTower("ViT-B-32", "nowhere.pt"), TEMPLATES, UsageError, "no text weights 'nowhere.pt'.*openai"),
        (TextTower("ViT-B-32", __file__), TEMPLATES, ModelError, "holds no weights of open_clip's ViT-B-32"),
        (TextTower("ViT-B-32", "random"), ["a photo"], UsageError, "with {} where the name goes"),
    ],
)
def test_what_cannot_be_right_is_one_line(tower, templates, error, says):
    with pytest.raises(error, match=says):
        text_labels(NAMES, "vit_base_patch32_clip_224.laion2b", tower, templates)


def test_a_file_of_open_clip_is_not_taken_for_a_model_without_a_converter(pair):
    with pytest.raises(ModelError, match="cannot take those of 'resnet18' out of them"):
        load_model("resnet18", pair[-1])
