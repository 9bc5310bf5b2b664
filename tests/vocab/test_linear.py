import pickle

import pytest
import torch
import torch.nn.functional as F

from vocab.linear import in_tf32, linear_map
from vocab.words import Vocabulary


@pytest.mark.parametrize("shape", [(48,), (1, 48), (257, 48), (3, 7, 48)])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_linear_map_gives_what_torch_gives(shape, biased, dtype):
    weight, bias, x = (torch.randn(size).to(dtype) for size in ((100, 48), (100,), shape))
    bias = bias if biased else None

    with torch.inference_mode():
        mapped = linear_map(weight, bias)(x)

    torch.testing.assert_close(mapped, F.linear(x, weight, bias), atol=1e-5, rtol=1e-5)


def test_rows_do_not_depend_on_each_other():
    apply, x = linear_map(torch.randn(100, 48)), torch.randn(64, 48)

    torch.testing.assert_close(apply(x)[:3], apply(x[:3]), atol=1e-6, rtol=0)


def test_a_vocabulary_survives_pickling():
    words, patches = torch.randn(20, 48), torch.randn(2, 9, 48)
    vocabulary = Vocabulary(words, version=4)

    copy = pickle.loads(pickle.dumps(vocabulary))

    assert copy.version == 4
    assert torch.equal(copy.match(patches).word, vocabulary.match(patches).word)


def test_products_are_rounded_only_while_that_is_asked_for_on_a_gpu():
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    with in_tf32(torch.device("cpu")):
        assert matmul.fp32_precision == before
    with in_tf32(torch.device("cuda")):
        assert matmul.fp32_precision == "tf32"
    assert matmul.fp32_precision == before
