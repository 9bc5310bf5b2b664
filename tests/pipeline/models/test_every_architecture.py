"""Whatever timm has is taken with every tokenizer, runs in full, or is refused by name: nothing unexpected.

On the meta device, where nothing is computed, shapes and types tell. One model of every module of timm is
loaded here; `make test-models` loads and runs them all.
"""

from collections.abc import Callable

import pytest
import timm
import torch

from pipeline.errors import ModelError
from pipeline.models import Model, PackedModel, load_model
from pipeline.models.positions import Placed
from pipeline.tokenizers import FullTokenizer

META = torch.device("meta")
# Encoders for language models: they have no features of a whole picture.
HEADLESS = set(timm.list_models("*_enc"))
# A network comes before the transformer.
HYBRIDS = set(timm.list_models(module=["vision_transformer_hybrid", "vitamin"]))


def load(name: str) -> Model:
    with META:
        return load_model(name, weights="random", device=META, embedding=True)


@torch.inference_mode()
def run(name: str) -> Model:
    """Loads a model and predicts with it, as far as shapes go."""
    model = load(name)
    with META:
        images = torch.empty(2, 3, model.input.height, model.input.width)
        plan = None
        if model.patch_size is not None:
            plan = FullTokenizer().plan(images, model.patch_size, model.prefix)
        outputs = model.run([Placed.filling(images, model.patch_size)], plan)
    assert outputs
    assert all(values.ndim == 2 and len(values) == 2 for values in outputs.values())
    return model


def check(names: list[str], try_out: Callable[[str], Model]) -> None:
    """Tries them all before it says where each of them went."""
    packed, plain, refused, faults = set(), set(), {}, {}
    for name in names:
        try:
            (packed if isinstance(try_out(name), PackedModel) else plain).add(name)
        except ModelError as error:
            refused[name] = str(error)
        except Exception as error:
            faults[name] = f"{type(error).__name__}: {error}"
    went = {"packed": packed, "in full": plain, "refused": refused}
    assert not faults, went
    assert refused.keys() == HEADLESS & set(names), went
    assert all(f"'{name}'" in reason for name, reason in refused.items())
    assert not packed & HYBRIDS, went


@pytest.mark.parametrize("module", timm.list_modules())
def test_a_model_of_every_module_is_taken_or_refused_by_name(module):
    check(timm.list_models(module=module)[-1:], load)


@pytest.mark.models
@pytest.mark.timeout(1800)  # some modules have more than a hundred
@pytest.mark.parametrize("module", timm.list_modules())
def test_every_model_of_a_module_runs_or_is_refused_by_name(module):
    check(timm.list_models(module=module), run)
