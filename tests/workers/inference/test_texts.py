"""What is looked for by a text is a label's vector, or what the model's text tower gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.errors import UsageError
from pipeline.models.label_vectors import LabelVectors
from workers.inference.texts import Texts
from workers.settings.schema import InferenceSettings

CLIP = "vit_pe_core_tiny_patch16_384.fb"
TOWER = {"model": "PE-Core-T-16-384", "weights": "random"}


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.safetensors"
    LabelVectors(["a van", "a bike"], torch.eye(512)[:2], CLIP).save(path)
    return path


def texts(**settings: object) -> Texts:
    return Texts(InferenceSettings.model_validate(settings))


def test_a_label_is_looked_for_by_its_vector_without_a_text_tower(labels: Path) -> None:
    wanted = texts(labels={CLIP: labels}).wanted("a bike", CLIP)
    assert not wanted.part
    np.testing.assert_array_equal(wanted.vector, np.eye(512)[1])


def test_what_is_no_label_is_refused_with_those_there_are(labels: Path) -> None:
    with pytest.raises(UsageError, match=r"none of the labels .*'a van', 'a bike'.*inference.text_towers"):
        texts(labels={CLIP: labels}).wanted("a dog", CLIP)


def test_a_model_without_labels_and_tower_is_refused_with_the_setting() -> None:
    with pytest.raises(UsageError, match=r"neither labels nor a text tower.*inference.text_towers"):
        texts().wanted("a dog", "resnet18")


def test_a_model_with_names_of_classes_is_no_longer_one_beside_text(labels: Path) -> None:
    with pytest.raises(UsageError, match=r"inference.names"):
        texts(labels={CLIP: labels}, names={CLIP: "names.txt"}).wanted("a bike", CLIP)


def test_any_other_text_goes_through_the_tower(labels: Path) -> None:
    pytest.importorskip("open_clip")
    both = texts(labels={CLIP: labels}, text_towers={CLIP: TOWER})
    dog, van = (both.wanted(text, CLIP).vector for text in ("a dog", "a van"))
    assert np.linalg.norm(dog) == pytest.approx(1, abs=1e-4)
    np.testing.assert_array_equal(van, np.eye(512)[0])
    np.testing.assert_array_equal(both.wanted("a dog", CLIP).vector, dog)
    assert float(dog @ both.wanted("an empty aisle", CLIP).vector) < 0.9999


def test_a_tower_of_another_model_is_refused() -> None:
    pytest.importorskip("open_clip")
    other = "vit_large_patch14_clip_224.openai"
    with pytest.raises(UsageError, match="not trained beside each other"):
        texts(text_towers={other: TOWER}).wanted("a dog", other)
