"""Whether pictures are decoded on an NVIDIA GPU."""

from __future__ import annotations

import functools
from pathlib import Path

import av
from av.codec import Codec
from av.codec.hwaccel import HWAccel

from pipeline.sources.source import Notice, OnNotice, SourceOptions

_DRIVER = Path("/dev/nvidiactl")


def hardware_decoder(options: SourceOptions, on_notice: OnNotice) -> HWAccel | None:
    """The hardware decoder to open a container with, or None for the CPU.

    A codec that the hardware cannot decode falls back to the CPU within the same connection.
    """
    if options.decoder == "cpu":
        return None
    cause = _why_no_cuda()
    if cause is None:
        return HWAccel("cuda", allow_software_fallback=True)
    # A machine without a GPU is no news to someone who left the choice to us.
    if options.decoder == "cuda" or _DRIVER.exists():
        on_notice(Notice("decoder", f"decoding on the CPU: CUDA decoding cannot start ({cause})"))
    return None


@functools.cache
def _why_no_cuda() -> str | None:
    """Tries a CUDA decoder once per process: the driver may lack its video part, as in many containers."""
    try:
        HWAccel("cuda").create(Codec("h264", "r"))
    except (av.FFmpegError, NotImplementedError, RuntimeError) as error:
        return getattr(error, "strerror", None) or str(error)
    return None
