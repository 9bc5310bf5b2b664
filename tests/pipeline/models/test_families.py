"""The registry of families says what is so, and the README what the registry says."""

import re
from pathlib import Path

import pytest
import timm
import torch

from pipeline.models import FAMILIES
from pipeline.models.refusal import parts_of, refusal

README = Path(__file__).parents[3] / "README.md"


def path(part: torch.nn.Module) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_an_example_is_taken_and_built_of_the_classes_of_its_line(family):
    with torch.device("meta"):
        model = timm.create_model(family.example)

    assert refusal(model) is None
    assert parts_of(model) == family.parts
    assert path(model) == family.classes.model
    assert {path(block) for block in model.blocks} == {family.classes.block}
    assert {path(block.attn) for block in model.blocks} == {family.classes.attention}


def test_the_readme_names_every_family():
    (models,) = re.findall(r"^Models: .*?\n\n", README.read_text(), re.MULTILINE | re.DOTALL)
    words = set(re.findall(r"\w+", models))

    assert not [family.name for family in FAMILIES if family.name.split()[0] not in words]
