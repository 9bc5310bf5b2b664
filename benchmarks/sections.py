"""Further tables of BENCHMARKS.md, each from the figures that its command wrote under benchmarks/results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

Row = list[str]


class Section(NamedTuple):
    """A table.

    Attributes:
        file: its figures, in benchmarks/results.
        title: of the section.
        command: that measures them.
        says: what it shows, and what it does not.
        table: head and rows.
    """

    file: str
    title: str
    command: str
    says: str
    table: Callable[[Mapping[str, Any]], tuple[Row, list[Row]]]


def _guard(figures: Mapping[str, Any]) -> tuple[Row, list[Row]]:
    head = ["clip", "audits until held", "p5", "lowest of 100 s", "share", "with audits", "in full"]
    names = ("audits_until", "p5", "worst_p5", "share", "share_with_audits", "full")
    return head, [
        [_clip(name), *(f"{found[key]:g}" for key in names)] for name, found in figures["clips"].items()
    ]


def _overload(figures: Mapping[str, Any]) -> tuple[Row, list[Row]]:
    head = ["clip", "frames with a result", "spacing, coefficient of variation", "latency over a cycle"]
    names = ("share", "spacing_cv", "latency_over_cycle")
    return head, [
        [_clip(name), *(f"{found[key]:g}" for key in names)] for name, found in figures["streams"].items()
    ]


def _cameras(figures: Mapping[str, Any]) -> tuple[Row, list[Row]]:
    head = ["cameras in a pass", "CPU time (quartiles)", "with decoding", "operations", "p5"]
    return head, [
        [
            f"{passes.partition(' ')[0]}, {computed}",
            f"{found['time']:g} ({found['from']:g} to {found['to']:g})",
            *(f"{found[key]:g}" for key in ("with_decoding", "operations", "cosine_p5")),
        ]
        for computed, parts in figures.items()
        for passes, found in parts.get("cameras", {}).items()
        if isinstance(found, dict)
    ]


def _decoding(figures: Mapping[str, Any]) -> tuple[Row, list[Row]]:
    head = ["clip, frames sampled", "all", "needed", "key frames", "every frame sampled", "rate of that"]
    names = ("all", "needed", "keyframes", "every frame")
    return head, [
        [clip, *(f"{found['ratio_to_plain'][key]:g}" for key in names), f"{found['rate_to_swscale']:g}"]
        for clip, found in figures["clips"].items()
    ]


def _drift(figures: Mapping[str, Any]) -> tuple[Row, list[Row]]:
    head = ["minute", "share", "cosine mean", "p5", "change"]
    names = ("share", "cosine_mean", "cosine_p5", "change")
    return head, [[name, *(f"{figures[name][key]:g}" for key in names)] for name in ("first", "last")]


def _fit(figures: Mapping[str, Any]) -> tuple[Row, list[Row]]:
    head = ["clip, fit", "tokens", "operations", "time (median)", "IoU with the letterboxed map"]
    return head, [
        [
            f"{_clip(clip)}, {fit}",
            str(found["tokens"]),
            f"{found['flops_ratio']:g}",
            f"{found['time_ratio'][1]:g}",
            f"{found['iou']:g}" if "iou" in found else "-",
        ]
        for clip, fits in figures["clips"].items()
        for fit, found in fits.items()
    ]


def _single_images(figures: Mapping[str, Any]) -> tuple[Row, list[Row]]:
    head = ["model, clients, server", "images per second", "CPU ms per image"]
    return head, [
        [name.partition(" (")[0], f"{found['images_per_s']:g}", f"{found['cpu_ms_per_image']:g}"]
        for name, found in figures.items()
    ]


def _clip(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[0]


SECTIONS = (
    Section(
        "recall_time.json",
        "Fixed cameras that recall",
        "python -m benchmarks.recall_time --clip CLIP --precision bf16 --target 0.98 --target 0.95 cameras",
        "Copies of one fixed camera (4:3, 5 frames/s) at different offsets, CPU time of a frame over that of "
        "plain timm in float32 (encoder and decoder), one thread.",
        _cameras,
    ),
    Section(
        "decoding.json",
        "Decoding only what is needed",
        "python -m benchmarks.decoding",
        "CPU time of decoding, converting and scaling over that of a plain loop of the library that decodes "
        "every frame and does nothing with it. Rate: frames per CPU second where all are sampled, over those "
        "of a loop of the library that decodes and has FFmpeg's own scaler make RGB of the same size.",
        _decoding,
    ),
    Section(
        "guard.json",
        "The guard",
        "python -m benchmarks.guard CLIP ...",
        "`merge` held at a cosine p5 of .98 over an hour in replay, from the value that saves most. Clips "
        "are short and come round again and again; `spliced` shows five minutes of each in turn.",
        _guard,
    ),
    Section(
        "overload.json",
        "More frames than the machine takes",
        "python -m benchmarks.overload",
        "Three clips of 25 frames/s at once through `vwt serve`. A cycle is the time that one frame of each "
        "takes the device; 1 is the least there can be.",
        _overload,
    ),
    Section(
        "drift.json",
        "Ten minutes of recall",
        "python -m benchmarks.drift CLIP",
        "A fixed camera, looped under changing light, a clock and noise: the last minute shows the pictures "
        "of the first. Audits move the stream towards its target, so the minutes differ.",
        _drift,
    ),
    Section(
        "fit.json",
        "How pictures are fitted",
        "python -m benchmarks.fit",
        "Against the padded square that the model was trained on. Taken on a loaded machine, and of carphone "
        "before its pixels were shown as wide as they are: read its rows as those of an 11:9 picture.",
        _fit,
    ),
    Section(
        "single_images.json",
        "Single images over HTTP",
        "python -m benchmarks.single_images",
        "One JPEG per request, beside LitServe on the same machine.",
        _single_images,
    ),
)


def paragraphs(
    figures: Callable[[str], Mapping[str, Any]], table: Callable[[Row, list[Row]], str]
) -> Iterator[str]:
    """The sections in Markdown.

    Args:
        figures: of a file.
        table: head and rows as Markdown.
    """
    for section in SECTIONS:
        yield f"## {section.title}"
        yield f"`{section.command}`. {section.says}"
        yield table(*section.table(figures(section.file)))
