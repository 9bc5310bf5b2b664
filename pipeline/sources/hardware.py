"""Whether pictures are decoded on an NVIDIA GPU, and on which."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import av
from av.codec import Codec
from av.codec.hwaccel import HWAccel

from pipeline.sources.source import Notice, OnNotice, SourceOptions

_DRIVER = Path("/dev/nvidiactl")
# All decoders of a process in the context that torch has, too, rather than in one each, which takes some
# hundred megabytes of the card. FFmpeg refuses where torch was there first, with other flags: then one each.
_CONTEXTS: tuple[dict[str, object], ...] = ({"primary_ctx": "1"}, {})


class _Tried(NamedTuple):
    """What came of trying: options of a context that can be had, or why there is none.

    Attributes:
        opened: the context, kept so that torch, if it comes later, takes it as it is.
    """

    options: dict[str, object]
    why_not: str | None
    opened: HWAccel | None = None


def hardware_decoder(options: SourceOptions, on_notice: OnNotice) -> HWAccel | None:
    """The hardware decoder to open a container with, or None for the CPU.

    A codec that the hardware cannot decode falls back to the CPU within the same connection.
    """
    if options.decoder == "cpu":
        return None
    tried = _try_cuda(options.gpu)
    if tried.why_not is None:
        return HWAccel("cuda", options.gpu, allow_software_fallback=True, options=tried.options)
    # A machine without a GPU is no news to someone who left the choice to us.
    if options.decoder == "cuda" or _DRIVER.exists():
        on_notice(Notice("decoder", f"decoding on the CPU: CUDA decoding cannot start ({tried.why_not})"))
    return None


def gpus_visible(devices: Path = _DRIVER.parent, environment: Mapping[str, str] = os.environ) -> int:
    """How many GPUs CUDA counts in this process, found without starting it."""
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return len(list(devices.glob("nvidia[0-9]*")))
    return len([one for one in chosen.split(",") if one.strip() not in ("", "-1")])


@functools.cache
def _try_cuda(gpu: int | None) -> _Tried:
    """Tries a decoder once per process: the driver may lack its video part, as in many containers."""
    why_not = ""
    for options in _CONTEXTS:
        try:
            opened = HWAccel("cuda", gpu, options=options).create(Codec("h264", "r"))
        except (av.FFmpegError, NotImplementedError, RuntimeError) as error:
            why_not = getattr(error, "strerror", None) or str(error)
        else:
            return _Tried(options, None, opened)
    return _Tried({}, why_not)
