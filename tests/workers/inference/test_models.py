"""A replica loads models as the settings say, and no more than they allow."""

import asyncio

import pytest
import timm
import torch

from pipeline.errors import ModelError
from workers.inference.models import Models
from workers.settings.schema import InferenceSettings

TINY = "vit_tiny_patch16_224"
CPU = torch.device("cpu")


def loaded(settings, name, default=TINY):
    """The model of that name, and what was said when it was loaded."""
    said = []
    models = Models(CPU, InferenceSettings(**settings), said.append, default)
    try:
        return asyncio.run(models.get(name)).model, said
    finally:
        models.close()


def best(model):
    from tests.pipeline.models.predicting import predict

    return predict(model, torch.zeros(1, 3, 224, 224))[0].labels


def test_a_model_has_the_names_of_the_settings(tmp_path):
    (tmp_path / "names.txt").write_text("\n".join(f"my {index}" for index in range(1000)))

    model, _ = loaded({"weights": {TINY: "random"}, "names": {TINY: tmp_path / "names.txt"}}, TINY)

    assert all(label.label.startswith("my ") for label in best(model))
    assert model.weights == "random"


def test_who_adds_streams_does_not_choose_what_is_downloaded_or_read(tmp_path):
    torch.manual_seed(3)
    timm.models.save_for_hf(timm.create_model(TINY, num_classes=2), tmp_path)
    name = f"local-dir:{tmp_path}"

    for refused in (name, "hf-hub:own/gate"):
        with pytest.raises(ModelError, match=r"not one of this service's.*inference.weights"):
            loaded({}, refused)

    assert len(best(loaded({}, name, default=name)[0])) == 2
    assert len(best(loaded({"weights": {name: "published"}}, name)[0])) == 2


def test_a_model_is_warm_before_anybody_gets_it():
    warmed = []

    async def warm_up(engine):
        await asyncio.sleep(0)
        warmed.append(engine)

    models = Models(CPU, InferenceSettings(weights={TINY: "random"}), lambda _: None, TINY, warm_up)
    try:
        engine = asyncio.run(models.get(TINY))
    finally:
        models.close()
    assert warmed == [engine]
