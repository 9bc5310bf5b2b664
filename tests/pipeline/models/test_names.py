"""Names of classes come from text or JSON, one per class, or not at all."""

import json

import pytest
import timm
import torch
from safetensors.torch import save_file

from pipeline.errors import UsageError
from pipeline.models import load_model
from pipeline.models.names import read_names
from tests.pipeline.models.predicting import predict

TINY = "vit_tiny_patch16_224"
NAMES = ["ok", "scratch", "dent"]


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Weights of a classifier of three classes."""
    torch.manual_seed(3)
    model = timm.create_model(TINY, num_classes=3)
    torch.nn.init.normal_(model.head.weight, std=0.1)
    path = tmp_path_factory.mktemp("own") / "own.safetensors"
    save_file(model.state_dict(), path)
    return str(path)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("names.txt", "ok\nscratch\r\ndent\n\n"),
        ("names.txt", "\ufeffok\nscratch\ndent"),
        ("names.json", json.dumps(NAMES)),
        ("names.json", json.dumps({"2": "dent", "0": "ok", "1": "scratch"})),
        ("config.json", json.dumps({"id2label": {"0": "ok", "1": "scratch", "2": "dent"}, "depth": 12})),
    ],
)
def test_a_file_names_the_classes(tmp_path, file, content):
    (tmp_path / file).write_text(content, encoding="utf-8")
    assert read_names(tmp_path / file) == NAMES


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("names.txt", "", "it is empty"),
        ("names.txt", "ok\n\ndent", "line 2 is empty"),
        ("names.json", "{", "give text with a name per line"),
        ("names.json", '{"0": "ok", "2": "dent"}', "give text with a name per line"),
        ("names.json", "[1, 2]", "give text with a name per line"),
        ("names.json", "[" * 100_000, "give text with a name per line"),
        ("names.json", '{"id2label": null}', "give text with a name per line"),
        ("names.json", '["ok", "\\ud800"]', "holds what cannot be shown"),
        ("names.txt", "ok\nde\x1b[31mnt", "holds what cannot be shown"),
    ],
)
def test_a_file_that_does_not_is_one_line(tmp_path, file, content, says):
    (tmp_path / file).write_text(content)
    with pytest.raises(UsageError, match=says):
        read_names(tmp_path / file)


def test_a_file_that_is_not_text_or_not_there_is_refused(tmp_path):
    (tmp_path / "names.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot read names"):
        read_names(tmp_path / "names.txt")
    with pytest.raises(UsageError, match="No such file"):
        read_names(tmp_path / "none.txt")


@pytest.mark.parametrize("name", [TINY, "resnet18"])
def test_an_own_classifier_answers_with_its_names(tmp_path, own, name):
    count = 3 if name == TINY else 1000
    (tmp_path / "names.txt").write_text("\n".join(f"my {index}" for index in range(count)))

    model = load_model(name, own if name == TINY else "random", names=tmp_path / "names.txt")
    (prediction,) = predict(model, torch.randn(1, 3, 224, 224))

    assert {label.label for label in prediction.labels} <= {f"my {index}" for index in range(count)}
    assert len(prediction.labels) == min(count, 5)


def test_names_make_a_classifier_of_what_would_be_a_projection(tmp_path):
    (tmp_path / "names.txt").write_text("\n".join(f"my {index}" for index in range(512)))
    tower = "vit_xsmall_patch16_clip_224.tinyclip_yfcc15m"

    (prediction,) = predict(
        load_model(tower, "random", names=tmp_path / "names.txt"), torch.randn(1, 3, 224, 224)
    )

    assert prediction.kind == "labels"
    assert all(label.label.startswith("my ") for label in prediction.labels)


def test_names_of_another_number_of_classes_are_refused(tmp_path, own):
    (tmp_path / "names.txt").write_text("ok\ndent")
    with pytest.raises(UsageError, match=r"names 2 classes and model 'vit_tiny_patch16_224' has 3"):
        load_model(TINY, own, names=tmp_path / "names.txt")


@pytest.mark.parametrize("name", ["dinov2_vits14_saliency", "vit_small_patch16_dinov3", "null"])
def test_what_has_no_classes_takes_no_names(tmp_path, name):
    (tmp_path / "names.txt").write_text("ok\ndent")
    weights = "random" if name.endswith("dinov3") else None
    with pytest.raises(UsageError, match="has no classes"):
        load_model(name, weights, names=tmp_path / "names.txt")


def test_only_one_option_may_say_what_is_predicted(tmp_path):
    with pytest.raises(UsageError, match="give one"):
        load_model(TINY, "random", names=tmp_path / "names.txt", embedding_only=True)
