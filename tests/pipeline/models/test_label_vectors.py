"""Label vectors are checked, kept in a file, and score any embedding."""

import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import normalize

from pipeline.errors import UsageError
from pipeline.models import load_model
from pipeline.models.label_vectors import NONE_OF_THESE, LabelVectors, full_name
from tests.pipeline.models.predicting import predict

TINY = "vit_tiny_patch16_224"


def some(model=TINY, width=192, **given):
    torch.manual_seed(1)
    vectors = normalize(torch.randn(3, width), dim=-1)
    return LabelVectors(["a van", "a bus", "nobody"], vectors, full_name(model), **given)


def test_a_file_gives_back_what_was_written(tmp_path):
    labels = some(scale=14.2857, none_below=0.21, made_with="a test")
    labels.save(tmp_path / "labels.safetensors")

    read = LabelVectors.load(tmp_path / "labels.safetensors")

    assert (read.names, read.model) == (
        ["a van", "a bus", "nobody"],
        "vit_tiny_patch16_224.augreg_in21k_ft_in1k",
    )
    assert (read.scale, read.none_below, read.made_with) == (14.2857, 0.21, "a test")
    assert torch.equal(read.vectors, labels.vectors)


@pytest.mark.parametrize("name", ["dinov2_vits14_saliency", TINY, "vit_small_patch16_dinov3", "resnet18"])
def test_any_embedding_is_scored_by_its_cosines(tmp_path, name):
    weights = None if name == "dinov2_vits14_saliency" else "random"
    images = torch.randn(2, 3, *((256, 256) if name.endswith("dinov3") else (224, 224)))
    embedded = predict(load_model(name, weights, embedding_only=True), images)
    labels = some(name, len(embedded[0].embedding), scale=20)
    labels.save(tmp_path / "labels.safetensors")

    scored = predict(
        load_model(name, weights, labels=tmp_path / "labels.safetensors", embedding=True), images
    )

    for prediction, one in zip(scored, embedded, strict=True):
        vector = torch.tensor(one.embedding)
        cosines = torch.nn.functional.cosine_similarity(vector[None], labels.vectors)
        expected = dict(zip(labels.names, (20 * cosines).softmax(-1).tolist(), strict=True))
        assert prediction.kind == "labels"
        assert {x.label: x.score for x in prediction.labels} == pytest.approx(expected, abs=1e-5)
        assert prediction.embedding == pytest.approx(one.embedding, abs=1e-4)


def test_none_of_these_is_the_answer_exactly_where_no_label_is_near_enough():
    labels = some(none_below=0.5)
    near, far = labels.vectors[1], normalize(torch.randn(192), dim=0)

    best = labels.scores(torch.stack([near, far])).argmax(dim=1)

    assert [labels.answers[index] for index in best] == ["a bus", NONE_OF_THESE]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"names": ["a"]}, "1 names need as many vectors"),
        ({"names": ["a", "a", "b"]}, "two names are the same"),
        ({"names": ["a", " ", "b"]}, "or one is empty"),
        ({"vectors": torch.ones(3, 192)}, "not of unit length"),
        ({"vectors": torch.full((3, 192), float("nan"))}, "not of unit length"),
        ({"scale": 0.0}, "not above 0"),
        ({"scale": float("nan")}, "not above 0"),
        ({"scale": 1e300}, "not above 0 and at most 1e"),
        ({"names": ["a", "b", "\ud800"]}, "cannot be shown"),
        ({"names": ["a", "b", "c\x1b[31m"]}, "cannot be shown"),
        ({"none_below": 1.5}, "no cosine"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change, says):
    given = {"names": some().names, "vectors": some().vectors, "model": TINY}
    with pytest.raises(UsageError, match=says):
        LabelVectors(**{**given, **change})


def test_labels_for_another_model_or_width_are_refused(tmp_path):
    some("vit_small_patch16_224", 384).save(tmp_path / "small.safetensors")
    some(TINY, 384).save(tmp_path / "wide.safetensors")

    with pytest.raises(
        UsageError, match=r"for model 'vit_small_patch16_224\..*', not 'vit_tiny_patch16_224'"
    ):
        load_model(TINY, "random", labels=tmp_path / "small.safetensors")
    with pytest.raises(UsageError, match=r"384 numbers wide and the embeddings of model .* 192"):
        load_model(TINY, "random", labels=tmp_path / "wide.safetensors")
    with pytest.raises(UsageError, match="no embedding"):
        load_model("null", labels=tmp_path / "small.safetensors")


def test_a_file_of_anything_else_is_one_line(tmp_path):
    path = tmp_path / "odd.safetensors"
    with pytest.raises(UsageError, match="no labels at"):
        LabelVectors.load(path)
    for content in (b"", b"\x00" * 100):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="cannot read labels"):
            LabelVectors.load(path)
    told = {"format": "vwt-labels/1", "names": '["a"]', "model": TINY, "scale": "1", "none_below": "null"}
    vector = {"vectors": torch.eye(1)}
    for damaged in (
        told | {"names": "7"},
        told | {"none_below": "1" + "0" * 400},
        told | {"names": "[1]"},
        told | {"scale": "x"},
        told | {"none_below": "[]"},
    ):
        save_file(vector, path, damaged)
        with pytest.raises(UsageError, match="cannot read labels"):
            LabelVectors.load(path)
    save_file({"vectors": torch.eye(2)}, path)
    with pytest.raises(UsageError, match="holds no labels"):
        LabelVectors.load(path)
    save_file({"other": torch.eye(1)}, path, told)
    with pytest.raises(UsageError, match="cannot read labels"):
        LabelVectors.load(path)
