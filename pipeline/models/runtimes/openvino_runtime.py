"""A model's blocks in OpenVINO. Plans with steps between the blocks go to torch, as fast at those."""

from __future__ import annotations

import threading
from functools import cache

import openvino
import torch
from openvino import CompiledModel, InferRequest, Model, Tensor
from torch import nn

from pipeline.models.context import AttentionContext
from pipeline.models.runtimes.base import Blocks, Dense, StepwiseRuntime
from pipeline.models.runtimes.grouping import Group, groups_of
from pipeline.models.runtimes.openvino_graph import blocks_graph, dense_graph
from pipeline.models.runtimes.openvino_layers import UnsupportedError
from pipeline.models.runtimes.signal_stack import signal_stack_kept
from pipeline.models.runtimes.torch_runtime import open_torch
from pipeline.runtimes import BF16, FP32, Computed, UnavailableError

_HINTS = {FP32: "f32", BF16: "bf16"}
_CAPABILITIES = "OPTIMIZATION_CAPABILITIES"


class OpenVinoRuntime:
    """Runs a compiled graph on sequences of equal length at once, and on padded ones where that is cheaper.

    Args:
        compiled: of a graph as `openvino_graph.blocks_graph` has it.
        precision: what results say.
        stepwise: takes what this does not.
    """

    def __init__(self, compiled: CompiledModel, precision: str, stepwise: StepwiseRuntime) -> None:
        self.computed = Computed("openvino", precision)
        self.stepwise = stepwise
        self.dtype = stepwise.dtype
        self._request = _Request(compiled)

    def dense(self, layers: nn.Sequential) -> Dense:
        """See `Runtime.dense`; layers that the graph knows not run in torch."""
        try:
            graph = dense_graph(layers)
        except UnsupportedError:
            return self.stepwise.dense(layers)
        request = _Request(compile_graph(graph, BF16 if self.dtype == torch.bfloat16 else FP32))

        def run(grid: torch.Tensor) -> torch.Tensor:
            with request as asked:
                return torch.from_numpy(asked.infer([grid.float().contiguous().numpy()])[0].copy())

        return run

    def takes(self, context: AttentionContext) -> bool:  # noqa: ARG002
        """See `Runtime.takes`: every one."""
        return True

    def forward(
        self, tokens: torch.Tensor, context: AttentionContext, rope: torch.Tensor | None
    ) -> torch.Tensor:
        """See `Runtime.forward`."""
        lengths = context.segments.lengths
        if context.segments.uniform is not None:
            return self._infer(*graph_inputs(tokens, context, rope)).flatten(0, 1)
        tokens = tokens.float()
        bias = tokens.new_zeros(len(tokens)) if context.key_bias is None else context.key_bias
        result = torch.empty_like(tokens)
        for group in groups_of(lengths):
            result[group.rows] = self._infer_group(group, tokens, bias, rope)
        return result

    def _infer_group(
        self, group: Group, tokens: torch.Tensor, bias: torch.Tensor, rope: torch.Tensor | None
    ) -> torch.Tensor:
        """The rows of a group, one after the other."""
        inputs = [group.padded(tokens), group.padded(bias, padding=-torch.inf)[:, None, None]]
        if rope is not None:
            inputs.append(group.padded(rope)[:, None])
        return group.unpadded(self._infer(*inputs))

    def _infer(self, *inputs: torch.Tensor) -> torch.Tensor:
        """(B, T, C) tokens, (B, 1, 1, T) bias and (B, 1, T, 2*D) rope -> (B, T, C), without copies."""
        output = torch.empty_like(inputs[0])
        arrays = [values.contiguous().numpy() for values in inputs]
        with self._request as request:
            for index, array in enumerate(arrays):
                request.set_input_tensor(index, Tensor(array, shared_memory=True))
            request.set_output_tensor(0, Tensor(output.numpy(), shared_memory=True))
            request.infer()
        return output


class _Request:
    """What a compiled graph is asked by, one at a time."""

    def __init__(self, compiled: CompiledModel) -> None:
        self._request = compiled.create_infer_request()
        self._one_at_a_time = threading.Lock()

    def __enter__(self) -> InferRequest:
        self._one_at_a_time.acquire()
        return self._request

    def __exit__(self, *error: object) -> None:
        self._one_at_a_time.release()


def graph_inputs(
    tokens: torch.Tensor, context: AttentionContext, rope: torch.Tensor | None
) -> list[torch.Tensor]:
    """What the graph takes of sequences of equal length; see `Runtime.forward` and `blocks_graph`."""
    count = len(context.segments.lengths)
    bias = tokens.new_zeros(len(tokens)) if context.key_bias is None else context.key_bias
    inputs = [tokens.unflatten(0, (count, -1)), bias.view(count, 1, 1, -1)]
    if rope is not None:
        inputs.append(rope.view(count, 1, -1, rope.shape[-1]))
    return [values.float() for values in inputs]


def open_openvino(blocks: Blocks, precision: str) -> OpenVinoRuntime:
    """Compiles the blocks for as many threads as torch has; some tenths of a second.

    Raises:
        UnavailableError: OpenVINO cannot compute this precision here, or not this model.
    """
    if precision == BF16 and "BF16" not in core().get_property("CPU", _CAPABILITIES):
        raise UnavailableError("this CPU does not compute in bfloat16")
    try:
        graph = blocks_graph(blocks)
    except UnsupportedError as error:
        raise UnavailableError(f"OpenVINO is not told here how to compute {error}") from error
    compiled = compile_graph(graph, precision)
    return OpenVinoRuntime(compiled, precision, open_torch(blocks, precision))


def compile_graph(graph: Model, precision: str) -> CompiledModel:
    """Compiles a graph for the CPU.

    Args:
        graph: of `blocks_graph`, quantized or not.
        precision: fp32 or bf16, for what is not quantized.
    """
    settings = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
        # Code that was made for a length is kept, 5,000 of it unless told otherwise: 300 MB in 500 frames.
        "CPU_RUNTIME_CACHE_CAPACITY": 32,
        # The decoder and other processes want the cores as well.
        "ENABLE_CPU_PINNING": False,
    }
    return core().compile_model(graph, "CPU", settings)


@cache
def core() -> openvino.Core:
    """The one of this process, with its plugin for the CPU; for any number of threads."""
    one = openvino.Core()
    with signal_stack_kept():
        one.get_property("CPU", _CAPABILITIES)  # loads the plugin
    return one
