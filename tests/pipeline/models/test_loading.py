import pickle

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from pipeline.errors import ModelError
from pipeline.models import (
    BUNDLED,
    PackedModel,
    PlainModel,
    load_model,
    model_input,
    resolve_device,
)
from tests.pipeline.counting import counting
from tests.pipeline.models.predicting import predict

TINY = "vit_tiny_patch16_224"


@pytest.fixture(scope="module")
def finetuned(tmp_path_factory):
    """A vit_tiny with a head of seven classes, and its weights in both formats."""
    torch.manual_seed(3)
    model = timm.create_model(TINY, num_classes=7).eval()
    torch.nn.init.normal_(model.head.weight, std=0.1)
    folder = tmp_path_factory.mktemp("weights")
    save_file(model.state_dict(), folder / "tiny.safetensors")
    torch.save({"state_dict": model.state_dict()}, folder / "tiny.pth")
    return model, folder


@pytest.mark.parametrize("name", ["tiny.safetensors", "tiny.pth"])
def test_local_weights_give_their_own_classes_and_the_scores_of_timm(finetuned, name):
    reference, folder = finetuned
    images = torch.randn(2, 3, 224, 224)

    model = load_model(TINY, weights=str(folder / name))
    predictions = predict(model, images)

    with torch.inference_mode():
        scores = reference(images).softmax(dim=-1)
    for prediction, expected in zip(predictions, scores, strict=True):
        best = expected.topk(5)
        assert [label.label for label in prediction.labels] == [f"class {i}" for i in best.indices.tolist()]
        assert [label.score for label in prediction.labels] == pytest.approx(best.values.tolist(), abs=1e-5)


def test_imagenet_classes_have_names():
    (prediction,) = predict(load_model(TINY, weights="random"), torch.randn(1, 3, 224, 224))

    assert prediction.kind == "labels"
    assert all(
        label.label[0].isalpha() and not label.label.startswith("class ") for label in prediction.labels
    )


def test_a_model_without_a_classifier_gives_its_embedding():
    model = load_model("vit_small_patch16_dinov3", weights="random")

    (prediction,) = predict(model, torch.randn(1, 3, 256, 256))

    assert prediction.kind == "embedding"
    assert len(prediction.embedding) == 384


@pytest.mark.parametrize("name", ["vit_small_patch14_dinov2", "resnet18"])
def test_an_embedding_comes_on_request_and_is_that_of_timm(name):
    images = torch.randn(1, 3, *load_input(name))
    model = load_model(name, weights="random", embedding=True)

    (prediction,) = predict(model, images)

    torch.manual_seed(0)
    reference = timm.create_model(name).eval()
    with torch.inference_mode():
        features = reference.forward_head(reference.forward_features(images), pre_logits=True)
    np.testing.assert_allclose(prediction.embedding, features[0].numpy(), atol=1e-4)


def load_input(name: str) -> tuple[int, int]:
    spec, _ = model_input(name)
    return spec.height, spec.width


def test_any_other_timm_model_runs_in_full_only():
    model = load_model("resnet18", weights="random")

    assert isinstance(model, PlainModel)
    assert model.tokenizers == ("full",)
    (prediction,) = predict(model, torch.randn(1, 3, 224, 224))
    assert len(prediction.labels) == 5


def test_every_bundled_model_loads_and_takes_what_the_list_says():
    for entry in BUNDLED:
        model = load_model(entry.name)

        assert model.tokenizers == entry.tokenizers


def test_the_input_is_that_of_the_data_config_of_timm():
    spec, patch_size = model_input("vit_base_patch16_siglip_224")

    assert (spec.width, spec.height, patch_size) == (224, 224, 16)
    assert (spec.mean, spec.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert (spec.crop_pct, spec.interpolation) == (0.9, "bicubic")


def test_flops_of_a_full_vit_small_are_those_torch_counts():
    from torch.nn.attention import SDPBackend, sdpa_kernel

    model = load_model("vit_small_patch16_224", weights="random")
    assert isinstance(model, PackedModel)
    # torch counts attention only where it is written out as products.
    with counting() as counter, sdpa_kernel(SDPBackend.MATH), torch.inference_mode():
        timm.create_model("vit_small_patch16_224").eval()(torch.randn(1, 3, 224, 224))

    assert model.flops(196) == pytest.approx(counter.get_total_flops(), rel=0.01)
    assert model.flops(98) < 0.55 * model.flops(196)


@pytest.mark.parametrize("unknown", ["vit_smal_patch16_224", "nonsense", ""])
def test_an_unknown_model_is_refused_and_its_neighbours_named(unknown):
    with pytest.raises(ModelError, match="unknown model") as error:
        load_model(unknown)
    if unknown.startswith("vit"):
        assert "vit_small_patch16_224" in str(error.value)


class Payload:
    """A pickle that would write a file when loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_weights_that_carry_code_are_refused_and_not_run(tmp_path):
    target, path = tmp_path / "written", tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps(Payload(target)))

    with pytest.raises(ModelError, match="cannot read weights"):
        load_model(TINY, weights=str(path))
    assert not target.exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "no weights at"), (b"", "cannot read weights"), (b"\x00" * 100, "cannot read weights")],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_that_cannot_be_read_are_refused(tmp_path, content, says, suffix):
    path = tmp_path / f"weights{suffix}"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ModelError, match=says):
        load_model(TINY, weights=str(path))


def test_weights_of_another_model_are_refused(finetuned):
    _, folder = finetuned

    with pytest.raises(ModelError, match="are not those of 'vit_small_patch16_224'"):
        load_model("vit_small_patch16_224", weights=str(folder / "tiny.safetensors"))


def test_the_bundled_model_takes_no_other_weights(finetuned):
    _, folder = finetuned

    with pytest.raises(ModelError, match="brings its own weights"):
        load_model(weights=str(folder / "tiny.safetensors"))


def test_a_hub_that_does_not_answer_gives_one_clear_line(monkeypatch):
    import huggingface_hub

    # A port where nobody listens, in case this machine can reach the hub.
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)

    with pytest.raises(
        ModelError, match="the model hub cannot be reached; connect to the network once"
    ) as error:
        load_model("vit_tiny_patch16_384")
    for looked_for in (
        "model.safetensors of timm/vit_tiny_patch16_384",
        huggingface_hub.constants.HF_HUB_CACHE,
    ):
        assert looked_for in str(error.value)
    with pytest.raises(ModelError, match=r"model.safetensors of own/gate, looked for in"):
        load_model("hf-hub:own/gate")
    with pytest.raises(ModelError, match=r"config.json of own/gate, looked for in"):
        model_input("hf-hub:own/gate")


def test_a_repository_without_its_prefix_is_told_how_to_name_it():
    with pytest.raises(ModelError, match="hf-hub:owner/name"):
        load_model("own/gate")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model as timm writes it for the hub, with names of its own."""
    torch.manual_seed(3)
    place = tmp_path_factory.mktemp("gate")
    model = timm.create_model(TINY, num_classes=2)
    timm.models.save_for_hf(model, place, model_config={"label_names": ["open", "closed"]})
    return place, model


def test_a_folder_of_timm_is_a_model_with_its_names(folder):
    place, reference = folder
    images = torch.randn(1, 3, 224, 224)

    model = load_model(f"local-dir:{place}")
    (prediction,) = predict(model, images)

    with torch.inference_mode():
        scores = reference.eval()(images).softmax(dim=-1)[0]
    found = {label.label: label.score for label in prediction.labels}
    assert found == pytest.approx({"open": scores[0].item(), "closed": scores[1].item()}, abs=1e-5)
    assert model.weights == "published"


def test_a_folder_without_a_model_is_one_line(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(f"local-dir:{tmp_path}")


def test_a_model_says_where_its_weights_are_from(finetuned):
    _, place = finetuned
    assert load_model().weights == "bundled"
    assert load_model("null").weights is None
    assert load_model(TINY, str(place / "tiny.pth")).weights == "file"
    assert load_model(TINY, "random").weights == "random"


@pytest.mark.parametrize("name", ["gpu", "mps", "cuda:99", "meta"])
def test_a_device_that_is_not_there_is_refused(name):
    with pytest.raises(ModelError, match="device"):
        resolve_device(name)


@pytest.mark.parametrize("name", ["dinov2_vits14_saliency", TINY, "resnet18"])
def test_who_asks_for_the_embedding_alone_gets_it_and_pays_for_no_more(name):
    weights = None if name == "dinov2_vits14_saliency" else "random"
    alone = load_model(name, weights=weights, embedding_only=True)
    both = load_model(name, weights=weights, embedding=True)
    images = torch.randn(1, 3, 224, 224)

    (prediction,), (expected,) = predict(alone, images), predict(both, images)

    assert prediction.kind == "embedding"
    np.testing.assert_allclose(prediction.embedding, expected.embedding, atol=1e-5)
    if name == "dinov2_vits14_saliency":
        assert alone.flops(None) < 0.85 * both.flops(None)


@pytest.mark.parametrize(
    "held",
    [
        [1, 2],
        {"head.weight": [1, 2]},
        {"head.weight": torch.tensor(1.0)},
        {"state_dict": [1]},
        7,
        {"a": None},
    ],
)
def test_a_file_of_anything_but_weights_is_one_line(tmp_path, held):
    path = tmp_path / "odd.pth"
    torch.save(held, path)
    with pytest.raises(ModelError, match=r"holds no weights by name|not those of"):
        load_model(TINY, weights=str(path))
