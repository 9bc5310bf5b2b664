"""Which tokenizer a model gets, and what it is refused."""

import pytest

from pipeline.errors import UsageError
from pipeline.models import load_model
from pipeline.tokenizers.registry import TOKENIZERS
from pipeline.tokenizing import kind_for

OF_CLASS_TOKENS = [name for name, kind in TOKENIZERS.items() if "a class token" in kind.needs]


@pytest.fixture(scope="module")
def without_class_token():
    return load_model("vit_base_patch16_siglip_224", weights="random", device="meta")


@pytest.mark.parametrize("name", OF_CLASS_TOKENS)
def test_what_needs_a_class_token_is_refused_by_name_where_there_is_none(without_class_token, name):
    says = f"take --tokenizer {name}: it needs a Vision Transformer with plain patches and a class token"
    with pytest.raises(UsageError, match=says):
        kind_for(name, without_class_token)


def test_the_other_tokenizers_are_taken_and_the_preferred_one_stays(without_class_token):
    assert len(OF_CLASS_TOKENS) > 0
    assert set(without_class_token.tokenizers) == set(TOKENIZERS) - set(OF_CLASS_TOKENS)
    assert kind_for(None, without_class_token).name == "recall"


def test_a_model_that_pools_registers_has_no_class_token_though_it_has_prefix_tokens():
    model = load_model("vit_medium_patch16_reg4_gap_256", weights="random", device="meta")

    assert model.prefix == 4
    assert model.tokenizers == tuple(name for name in TOKENIZERS if name not in OF_CLASS_TOKENS)
