"""Which runtimes and precisions there are, a line for each runtime; its file is loaded when it is opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.models.runtimes.base import Blocks, Runtime

AUTO = "auto"
FP32, BF16, INT8 = "fp32", "bf16", "int8"
TORCH = "torch"
# The fewer bits the faster.
PRECISIONS = (INT8, BF16, FP32)


class UnavailableError(Exception):
    """A runtime cannot be had here, or not in a precision, or not for a model; says why, in one line."""


class Opening(NamedTuple):
    """A function that is loaded when it is wanted.

    Attributes:
        where: "module:function".
        extra: of vwt-stream, which has the packages it imports; None where those are there anyway.
    """

    where: str
    extra: str | None = None

    def load(self) -> Callable[..., Any]:
        """The function.

        Raises:
            UnavailableError: a package is not there.
        """
        module, _, function = self.where.partition(":")
        try:
            found: Callable[..., Any] = getattr(import_module(module), function)
        except ImportError as error:
            if self.extra is None:
                raise
            raise UnavailableError(
                f"{error.name} is not installed: pip install 'vwt-stream[{self.extra}]'"
            ) from error
        return found


class Kind(NamedTuple):
    """A kind of runtime.

    Attributes:
        name: what it is asked for by.
        says: what it is, for help.
        precisions: that it computes in.
        opening: (Blocks, precision) -> Runtime. It may change the blocks unless it raises UnavailableError.
        devices: types of those that it is offered on.
    """

    name: str
    says: str
    precisions: tuple[str, ...]
    opening: Opening
    devices: tuple[str, ...] = ("cpu",)

    def open(self, blocks: Blocks, precision: str) -> Runtime:
        """Opens it where the blocks are, taking them over.

        Raises:
            UnavailableError: it cannot be had.
        """
        runtime: Runtime = self.opening.load()(blocks, precision)
        return runtime


# By name, on the CPU the fastest first.
RUNTIMES = {
    kind.name: kind
    for kind in (
        Kind(
            "openvino",
            "OpenVINO, from vwt-stream[openvino]",
            (INT8, BF16, FP32),
            Opening("pipeline.models.runtimes.openvino_runtime:open_openvino", "openvino"),
        ),
        Kind(
            TORCH,
            "PyTorch with oneDNN",
            (BF16, FP32),
            Opening("pipeline.models.runtimes.torch_runtime:open_torch"),
            ("cpu", "cuda"),
        ),
        Kind(
            "graphs",
            "CUDA graphs, on a GPU, where nobody has tried them yet",
            (BF16, FP32),
            Opening("pipeline.models.runtimes.graphs_runtime:open_graphs"),
            ("cuda",),
        ),
    )
}

# Which takes frames: (PackedEncoder, Blocks, on_notice, fitted_to) -> Calibration, or None where it is done.
INT8_OPENING = Opening("pipeline.models.runtimes.int8:open_int8", "openvino")


class Computed(NamedTuple):
    """What computed a frame; None where nothing did.

    Attributes:
        runtime: one of `RUNTIMES`.
        precision: one of `PRECISIONS`.
    """

    runtime: str | None
    precision: str | None


NOT_COMPUTED = Computed(None, None)


def precision_choices() -> tuple[str, ...]:
    """What may be asked for: every precision and `auto`."""
    return (AUTO, *reversed(PRECISIONS))


def runtime_choices() -> tuple[str, ...]:
    """What may be asked for: every runtime and `auto`."""
    return (AUTO, *reversed(RUNTIMES))


def candidates(precision: str, runtime: str) -> Sequence[tuple[Kind, str]]:
    """The runtimes on the CPU and precisions that fit a wish, the fastest first.

    `auto` leaves int8 out, which has not been seen to keep a cosine of .999. Whoever asks for float32 wants
    exactly what PyTorch gives, so that comes first there.
    """
    precisions = [one for one in PRECISIONS if one == precision or (precision == AUTO and one != INT8)]
    kinds = [kind for kind in RUNTIMES.values() if "cpu" in kind.devices and runtime in (AUTO, kind.name)]
    if precision == FP32:
        kinds.reverse()
    return [(kind, one) for one in precisions for kind in kinds if one in kind.precisions]


def check_computed(precision: str | None, runtime: str, device: str) -> None:
    """Raises UsageError for a wish that cannot be fulfilled.

    Args:
        precision: None for the device's own.
        runtime: a name or `auto`.
        device: the type of the device.
    """
    if precision is not None and precision not in precision_choices():
        raise UsageError(
            f"there is no precision {precision!r}: choose one of {', '.join(precision_choices())}"
        )
    if runtime not in runtime_choices():
        raise UsageError(f"there is no runtime {runtime!r}: choose one of {', '.join(runtime_choices())}")
    offered = runtime == AUTO or device in RUNTIMES[runtime].devices
    if device == "cuda":
        if precision == INT8 or not offered:
            names = " or ".join(kind.name for kind in RUNTIMES.values() if device in kind.devices)
            raise UsageError(
                f"on a GPU models run in {names}, in {BF16} or {FP32}; "
                "leave out the rest, or use --device cpu"
            )
        return
    if not offered:
        raise UsageError(f"{runtime} runs on a GPU only; leave out --runtime, or use --device cuda")
    if not candidates(precision or FP32, runtime):
        raise UsageError(
            f"{runtime} does not compute in {precision}; leave out --runtime, or another precision"
        )
