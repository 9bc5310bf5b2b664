"""What a GPU would be given to capture, on one that is made up."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException

import pipeline.models  # noqa: F401  (lets timm import beside any torchvision)
from pipeline.models.adapters import adapt
from pipeline.models.attention import Segments, StaticSegments
from pipeline.models.context import AttentionContext
from pipeline.models.runtimes.base import Blocks
from pipeline.models.runtimes.graphs_runtime import GraphsRuntime
from pipeline.models.runtimes.torch_runtime import TorchRuntime
from tests.pipeline.models.families import FAMILIES, build
from tests.pipeline.models.made_up_gpu import Calls, made_up_gpu, move

CUDA = torch.device("cuda")
DEPTH = 2


def adapted(family: str) -> nn.Module:
    model = build(family, DEPTH)
    adapt(model)
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pass_asks_the_host_for_nothing_and_takes_packed_attention(family):
    model = adapted(family)
    with made_up_gpu():
        move(model, torch.bfloat16)
        blocks = Blocks.of(model)
        tokens = torch.zeros(40, blocks.width, dtype=torch.bfloat16, device=CUDA)
        rope = torch.zeros(40, blocks.rotary, device=CUDA) if blocks.rotary else None
        offsets = torch.zeros(3, dtype=torch.int32, device=CUDA)
        # Capturing is what a made-up GPU cannot do.
        graphs = GraphsRuntime(blocks, TorchRuntime(blocks), torch.device("cpu"))

        with Calls() as calls:
            result = graphs.forward(tokens, AttentionContext(Segments([30, 10], offsets)), rope)

    assert result.shape == tokens.shape
    assert result.dtype == torch.bfloat16
    assert len(graphs.sizes) == 1
    assert sum("varlen_attn" in name for name in calls.names) == DEPTH


def test_a_pass_in_float32_would_ask():
    """Which is why `open_graphs` refuses it on a GPU."""
    model = adapted("vit")
    with made_up_gpu():
        move(model, torch.float32)
        blocks = Blocks.of(model)
        tokens = torch.zeros(64, blocks.width, device=CUDA)
        context = AttentionContext(StaticSegments(torch.zeros(3, dtype=torch.int32, device=CUDA), 64))
        with pytest.raises(DataDependentOutputException):
            TorchRuntime(blocks).forward(tokens, context, None)
