"""`vwt run`."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import ExitStack, closing
from types import FrameType
from typing import Any

import click
from click.core import ParameterSource

from pipeline.defaults import (
    DEFAULT_BATCH,
    DEFAULT_HISTORY_BYTES,
    DEFAULT_MAX_PIXELS,
    DEFAULT_MIN_SCORE,
    DEFAULT_MODEL,
    DEFAULT_OPEN_TIMEOUT_S,
    DEFAULT_PRECISION,
    DEFAULT_RELEARN_AFTER_S,
    DEFAULT_STALL_TIMEOUT_S,
    DEFAULT_WARMUP_FRAMES,
    DEFAULT_WATTS_PER_CORE,
    DEFAULT_WINDOW_FPS,
    DEFAULT_WINDOW_PATCHES,
    DEFAULT_WORDS,
    LEAST_HISTORY_BYTES,
)
from pipeline.energy.registry import AUTO, meter_choices, meter_help
from workers.commands.computed_options import computed_options
from workers.commands.input_options import input_options
from workers.commands.scene_options import scene_options
from workers.commands.tokenizer_options import OF_WORDS, tokenizer_options
from workers.commands.watch_options import watch_options
from workers.garbage import collected_later

_STDERR_FD = 2


@click.command(short_help="Run one source: predictions and joules per frame.")
@click.argument("source")
@tokenizer_options
@watch_options
@click.option("--vocab", type=click.Path(), help=f"{OF_WORDS}: file of visual words (see `vwt vocab learn`).")
@click.option(
    "--words",
    type=click.IntRange(min=1),
    default=DEFAULT_WORDS,
    show_default=True,
    help=f"{OF_WORDS} without --vocab: how many words to learn from the stream.",
)
@click.option(
    "--warmup-frames",
    type=click.IntRange(min=1),
    default=DEFAULT_WARMUP_FRAMES,
    show_default=True,
    help=f"{OF_WORDS} without --vocab: frames to learn from; they run in full.",
)
@click.option(
    "--redis",
    envvar="VWT_REDIS",
    metavar="URL",
    help=f"{OF_WORDS}: keep the rolling window and the words in this Redis, shared by the scope.",
)
@click.option(
    "--window",
    type=click.Choice(["memory", "redis"]),
    help=f"{OF_WORDS}: where the rolling window is that words are learned from again and again.  "
    "[default: redis with --redis, memory for live sources, none for files]",
)
@click.option(
    "--scope", metavar="NAME", help=f"{OF_WORDS}: streams of one scope share words.  [default: the stream]"
)
@click.option(
    "--relearn-after",
    type=click.FloatRange(min=0, min_open=True),
    default=DEFAULT_RELEARN_AFTER_S,
    show_default=True,
    help=f"{OF_WORDS}: seconds after which words are learned again, drift or not.",
)
@click.option(
    "--window-fps",
    type=click.FloatRange(min=0, min_open=True),
    default=DEFAULT_WINDOW_FPS,
    show_default=True,
    help=f"{OF_WORDS}: frames per second that the window samples.",
)
@click.option(
    "--window-patches",
    type=click.IntRange(min=1),
    default=DEFAULT_WINDOW_PATCHES,
    show_default=True,
    help=f"{OF_WORDS}: patches that the window takes of each.",
)
@click.option("--model", default=DEFAULT_MODEL, metavar="NAME", show_default=True, help="See `vwt models`.")
@click.option(
    "--weights",
    metavar="FILE",
    help="A .safetensors or .pth file, or of a detector hf-hub:OWNER/NAME; `random` for none (speed tests).  "
    "[default: the published ones]",
)
@click.option(
    "--names",
    metavar="FILE",
    help="Names of the classes of your own classifier: text with one a line, or JSON (docs/models.md).",
)
@click.option(
    "--labels",
    metavar="FILE",
    help="Score embeddings by these labels, which need no training; see `vwt labels`.",
)
@input_options("as suits the model")
@click.option("--embedding", is_flag=True, help="Add the pooled features to each prediction.")
@click.option(
    "--embedding-only", is_flag=True, help="Predict the pooled features alone; nothing else is computed."
)
@click.option(
    "--min-score",
    type=click.FloatRange(0, 1),
    default=DEFAULT_MIN_SCORE,
    show_default=True,
    help="Score that a box of a detector has at least.",
)
@scene_options
@click.option(
    "--device", default="auto", metavar="NAME", show_default=True, help="auto, cpu, cuda or cuda:N."
)
@computed_options(DEFAULT_PRECISION)
@click.option(
    "--batch", type=click.IntRange(min=1), default=DEFAULT_BATCH, show_default=True, help="Frames per batch."
)
@click.option(
    "--fps",
    type=click.FloatRange(min=0, min_open=True),
    help="Sample this many frames per second of presentation time.  [default: every frame]",
)
@click.option("--max-frames", type=click.IntRange(min=1), help="Stop after this many sampled frames.")
@click.option(
    "--policy",
    type=click.Choice(["block", "drop-oldest"]),
    help="When inference is slower than the source.  [default: block for files, drop-oldest for live]",
)
@click.option(
    "--open-timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=DEFAULT_OPEN_TIMEOUT_S,
    show_default=True,
    help="Seconds a source may take until its first picture.",
)
@click.option(
    "--stall-timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=DEFAULT_STALL_TIMEOUT_S,
    show_default=True,
    help="Seconds without a picture after which a live source is opened again.",
)
@click.option(
    "--decoder",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where video is decoded.",
)
@click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    default=DEFAULT_MAX_PIXELS,
    show_default=True,
    help="Refuse video with larger pictures, or that has more than nine such kept to be decoded.",
)
@click.option(
    "--decode",
    type=click.Choice(["all", "needed", "keyframes"]),
    default="needed",
    show_default=True,
    help="With --fps: decode what the sampled frames need; keyframes samples those alone.",
)
@click.option(
    "--rtsp-transport", type=click.Choice(["tcp", "udp"]), default="tcp", show_default=True, help="RTSP over."
)
@click.option(
    "--meter",
    type=click.Choice(meter_choices()),
    default=AUTO,
    show_default=True,
    help=f"Where joules come from: {meter_help()}",
)
@click.option(
    "--watts-per-core",
    type=click.FloatRange(min=0, min_open=True),
    default=DEFAULT_WATTS_PER_CORE,
    show_default=True,
    help="What the estimate takes a busy CPU core to draw.",
)
@click.option("--name", help="The stream's name in results.  [default: from the source]")
@click.option("--out", metavar="FILE", help="Write results as JSON lines; - for standard output.")
@click.option("--annotate", metavar="FILE", help="Write the clip with predictions and token map (.mp4).")
@click.option(
    "--rules",
    metavar="FILE",
    help="Rules (YAML or JSON) that make events of results: lines of --out and of the summary.",
)
@click.option(
    "--events", metavar="FOLDER", help="Write a picture of each event of --rules (JPEG), and clips."
)
@click.option("--json-summary", metavar="FILE", help="Write the summary as JSON; - for standard output.")
@click.option(
    "--index",
    metavar="FOLDER",
    help="Remember there what each frame that changed looked like, for `vwt find`.",
)
@click.option(
    "--index-bytes",
    type=click.IntRange(min=LEAST_HISTORY_BYTES),
    default=DEFAULT_HISTORY_BYTES,
    show_default=True,
    help="With --index: size of the stream's file; the oldest moments go first.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    help="Serve metrics for Prometheus at this port; 0 takes a free one.  [default: none]",
)
@click.option(
    "--metrics-host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Address to serve metrics at; anybody who reaches it can read them.",
)
@click.option("--quiet", is_flag=True, help="No progress and no summary.")
def run(**given: Any) -> None:
    """Run SOURCE through a model: one result per sampled frame, with what it cost in joules.

    SOURCE is a video, an image, a folder of images or a pattern in quotes ('photos/*.jpg'); rtsp://,
    rtsps://, http:// or https:// (HLS, MP4); camera:N; or a clip that ships in a package: sample:bikes,
    sample:bunny, sample:carphone.
    """
    from rich.console import Console

    from pipeline.sources import open_source, parse_source
    from workers.notices import Notices
    from workers.run.options import run_options

    context = click.get_current_context()
    typed = [name for name in given if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    options = run_options(given, typed)
    spec = parse_source(options.source)
    notices = Notices(Console(stderr=True), options.quiet)
    with ExitStack() as stack:
        collect = stack.enter_context(collected_later())
        with notices.waiting(f"opening {spec.display}"):
            source = open_source(spec, options.opening, lambda notice: notices.say(notice.message))
        stack.enter_context(closing(source))
        # torch takes seconds to import: what is wrong with the source is said before.
        with notices.waiting("loading torch"):
            from workers.run.loop import StreamRun
        stop = threading.Event()

        def on_ready() -> None:
            collect()
            _stop_on_signals(stop)

        StreamRun(options, source, notices, stop).run(on_ready)


def _stop_on_signals(stop: threading.Event) -> None:
    """The first Ctrl-C or SIGTERM from here on sets `stop`; the second ends the process at once, with 130."""

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            if os.isatty(_STDERR_FD):
                # The progress display hides the cursor, and stands in for sys.stderr.
                os.write(_STDERR_FD, b"\x1b[?25h\n")
            os._exit(130)
        stop.set()

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
