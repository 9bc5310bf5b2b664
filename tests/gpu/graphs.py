"""Passes captured as CUDA graphs, against the same blocks launched one kernel after the other."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from pipeline.engine import Engine
from pipeline.first_passes import warm_up
from pipeline.models import load_model
from pipeline.models.attention import Segments
from pipeline.models.context import AttentionContext
from pipeline.models.encoder import PackedEncoder
from pipeline.models.packed import PackedModel
from pipeline.models.positions import Place
from pipeline.models.runtimes.base import Blocks
from pipeline.models.runtimes.graphs_runtime import GraphsRuntime, Size, open_graphs
from pipeline.runtimes import BF16, FP32
from pipeline.tokenizers import FullTokenizer, InterTokenizer, IntraTokenizer, Tokenizer
from pipeline.warmup import learn_words
from tests.gpu.correctness import TOLERANCE, Clips, difference, waited
from tests.gpu.report import Report
from tests.gpu.whole import check_swap, compare, frames_of
from tests.pipeline.models.families import FAMILIES, build

# Some that fill a size up, and some after longer ones in the same buffers.
_LENGTHS = ([80, 90, 60], [70, 30, 40], [16], [40, 24], [9] * 8 + [184], [1], [5] * 11, [70, 30, 40])
_MOST, _LONGEST = 9, 65
_MODEL = "vit_tiny_patch16_224"
_TIMES = 50
_NO_GRAPHS = "only a GPU has graphs"

Inputs = tuple[torch.Tensor, AttentionContext, torch.Tensor | None]


def check_passes(device: torch.device, report: Report) -> None:
    """Any lengths, in any order, in every family; on the CPU passes run without being captured."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    for family in FAMILIES:
        encoder, graphs = _both(family, device, dtype)
        worst = 0.0
        for lengths in _LENGTHS:
            given = _inputs(encoder, lengths, device, dtype)
            worst = max(worst, difference(graphs.forward(*given), encoder.runtime.forward(*given)))
        what = f"{family}: passes differ from the same launched one by one by {worst:.1e} ({dtype})"
        report.check(worst <= TOLERANCE[dtype], what)
    encoder, graphs = _both("dinov3", device, dtype)
    longer, fewer = (_inputs(encoder, lengths, device, dtype) for lengths in _LENGTHS[:2])
    alone = graphs.forward(*fewer)
    graphs.forward(longer[0] * torch.nan, *longer[1:])
    report.check(torch.equal(graphs.forward(*fewer), alone), "a pass gives the same after another of NaN")
    graphs.prepare(_MOST, _LONGEST, longer[2])
    made, few = len(graphs.sizes), {size for size, _ in Size.up_to(_MOST, _LONGEST)}
    for count in (1, 2, 8, 9):
        for length in range(1, _LONGEST + 1, 4):
            graphs.forward(*_inputs(encoder, [length] * count, device, dtype))
    bounded = made == len(graphs.sizes) and set(graphs.sizes) >= few
    report.check(bounded, f"{made} passes are made, and no more for any lengths of up to {_MOST} frames")
    if device.type == "cuda":
        found = waited(lambda: graphs.forward(*fewer))
        report.check(found is None, f"a replay does not wait for the device ({found or 'no sync'})")
    else:
        report.skip("a replay does not wait for the device", f"{device} has no sync debug mode")


def check_graphed_engine(device: torch.device, clips: Clips, report: Report) -> None:
    """An engine that replays against one that launches; words change, and passes are captured, under load."""
    if device.type != "cuda":
        report.skip("an engine that replays says what one that launches says", _NO_GRAPHS)
        report.skip("vocabularies taken into use between replays", _NO_GRAPHS)
        return
    frames = frames_of(clips["bikes"][:8])
    engines = [_engine(device, runtime) for runtime in ("graphs", "torch")]
    words = learn_words(clips["bikes"][:8], engines[0].model.input, 16, 100, device=device)
    tokenizers: Sequence[Tokenizer] = (FullTokenizer(), IntraTokenizer(0.4), InterTokenizer(words, 0.05))
    for tokenizer in tokenizers:
        for some in (frames[:1], frames):
            replayed, launched = (engine.submit(some, tokenizer) for engine in engines)
            compare(f"{tokenizer.name} of {len(some)}, replayed", replayed, launched, report)
    check_swap(device, clips, report, "graphs")


def measure_graphs(device: torch.device, name: str, clips: Clips, report: Report) -> dict[str, Any]:
    """What replaying is worth: milliseconds of a pass, and of a frame from its picture to its result."""
    if device.type != "cuda":
        report.skip("a replay takes less than launching", _NO_GRAPHS)
        return {"reason": _NO_GRAPHS}
    before = torch.cuda.memory_reserved(device)
    engines = {runtime: _engine(device, runtime, name) for runtime in ("graphs", "torch")}
    start = time.perf_counter()
    warm_up(engines["graphs"], 16)
    torch.cuda.synchronize(device)
    prepared_s = time.perf_counter() - start
    runtime = _encoder(engines["graphs"]).runtime
    assert isinstance(runtime, GraphsRuntime)
    figures: dict[str, Any] = {
        "model": name,
        "graphs": len(runtime.sizes),
        "first_passes_s": round(prepared_s, 2),
        "reserved_mb": round((torch.cuda.memory_reserved(device) - before) / 1e6, 1),
    }
    for count, kept in ((1, 197), (1, 60), (8, 197), (8, 60), (16, 197)):
        for runtime_name, engine in engines.items():
            encoder = _encoder(engine)
            given = _inputs(encoder, [kept] * count, device, torch.bfloat16)
            forward = encoder.runtime.forward
            figures[f"pass of {count} x {kept}, {runtime_name}, ms"] = _ms(
                lambda forward=forward, given=given: forward(*given), device
            )
    frames = frames_of(clips["bikes"][:1])
    for tokenizer in (FullTokenizer(), IntraTokenizer(0.5)):
        for runtime_name, engine in engines.items():
            figures[f"frame, {tokenizer.name}, {runtime_name}, ms"] = _ms(
                lambda engine=engine, tokenizer=tokenizer: engine.submit(frames, tokenizer).result(), device
            )
    replayed, launched = (figures[f"pass of 1 x 197, {one}, ms"] for one in engines)
    what = f"a replay takes {replayed} ms, launching {launched} ms (one frame)"
    report.check(replayed < launched, what)
    print(figures, flush=True)
    return figures


def _both(family: str, device: torch.device, dtype: torch.dtype) -> tuple[PackedEncoder, GraphsRuntime]:
    model = build(family).to(device, dtype)
    encoder = PackedEncoder(model)
    return encoder, open_graphs(Blocks.of(model).copy(), BF16 if dtype == torch.bfloat16 else FP32)


def _inputs(
    encoder: PackedEncoder, lengths: Sequence[int], device: torch.device, dtype: torch.dtype
) -> Inputs:
    generator, total = torch.Generator().manual_seed(sum(lengths)), sum(lengths)
    tokens = torch.randn(total, encoder.model.embed_dim, generator=generator).to(device, dtype)
    table = encoder.positions.rotation(Place(encoder.grid, encoder.grid))
    if table is not None:
        table = table[torch.randint(len(table), (total,), generator=generator).to(device)]
    return tokens, AttentionContext(Segments.of(lengths, device)), table


def _engine(device: torch.device, runtime: str, name: str = _MODEL) -> Engine:
    return Engine(load_model(name, weights="random", device=device, embedding=True, runtime=runtime))


def _encoder(engine: Engine) -> PackedEncoder:
    assert isinstance(engine.model, PackedModel)
    return engine.model.encoder


def _ms(work: Callable[[], object], device: torch.device) -> float:
    """Median time until the device is done."""
    taken = []
    for number in range(_TIMES + 5):
        start = time.perf_counter()
        work()
        torch.cuda.synchronize(device)
        if number >= 5:
            taken.append(1000 * (time.perf_counter() - start))
    return round(statistics.median(taken), 3)
