"""`vwt run`: one stream, one process. Decoding in its own thread, inference here."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack

from rich.console import Console

from pipeline.energy import Ledger, open_meter
from pipeline.engine import Engine, PendingBatch
from pipeline.errors import VwtError
from pipeline.frame import Frame
from pipeline.models import Model, load_model, resolve_device
from pipeline.preprocess import Preprocessor
from pipeline.reader import FrameReader
from pipeline.sources import Notice, Source, SourceOptions, open_source, parse_source
from pipeline.stream import StreamState
from pipeline.tokenizers import Tokenizer
from workers.delivery import Delivery
from workers.options import RunOptions, check_tokenizer, load_vocabulary, stream_state
from workers.progress import Progress
from workers.summary import print_summary, write_json_summary

# How often a quiet stream looks up to see whether it should stop.
_LOOK_UP_S = 0.25
# One batch under way, one being gathered: more would only make results older.
_BATCHES_AHEAD = 2


class StreamRun:
    """Runs one source to its end, or until it is told to stop.

    Args:
        options: what to do.
        console: where progress, notices and the summary go (standard error).
        stop: set to finish the batches under way and end.
    """

    def __init__(self, options: RunOptions, console: Console, stop: threading.Event) -> None:
        self._options = options
        self._console = console
        self._stop = stop
        self._progress: Progress | None = None

    def run(self) -> None:
        """Runs; every result is written and the summary shown when this returns or raises.

        Raises:
            VwtError: what failed, why, what to do.
        """
        options = self._options
        check_tokenizer(options.tokenizer)
        vocabulary = load_vocabulary(options.tokenizer)
        with ExitStack() as stack:
            source = open_source(parse_source(options.source), self._source_options(), self._on_notice)
            stack.callback(source.close)
            info = source.info
            device = resolve_device(options.device)
            model = load_model(options.model, options.weights, device, embedding=options.embedding)
            state = stream_state(
                options.name or info.name, options.tokenizer, model, vocabulary, live=info.live
            )
            meter = open_meter(options.meter, str(device), options.watts_per_core)
            stack.callback(meter.close)
            ledger = stack.enter_context(Ledger(meter))
            delivery = Delivery(ledger, options.out, options.annotate, options.fps or info.rate)
            reader = FrameReader(
                source,
                Preprocessor(model.input, keep_picture=options.annotate is not None),
                fps=options.fps,
                policy=options.policy or ("drop-oldest" if info.live else "block"),
                capacity=_BATCHES_AHEAD * options.batch,
                max_frames=options.max_frames,
            )
            failure = None
            with Progress(info, self._console, options.quiet, options.max_frames) as self._progress:
                try:
                    self._loop(reader, Engine(model), state, delivery, ledger, source)
                except VwtError as error:
                    failure = error
                finally:
                    reader.stop()
                    delivery.stats.drop(reader.dropped_at_end())
                    delivery.close()
            self._summarise(delivery, meter.describe(), source, model)
            if failure is not None:
                raise failure

    def _source_options(self) -> SourceOptions:
        options = self._options
        return SourceOptions(
            open_timeout_s=options.open_timeout_s,
            stall_timeout_s=options.stall_timeout_s,
            decoder=options.decoder,
            rtsp_transport=options.rtsp_transport,
        )

    def _loop(
        self,
        reader: FrameReader,
        engine: Engine,
        state: StreamState,
        delivery: Delivery,
        ledger: Ledger,
        source: Source,
    ) -> None:
        assert self._progress is not None
        batch = self._options.batch
        flying: deque[tuple[PendingBatch, float]] = deque()
        try:
            while not self._stop.is_set():
                frames = reader.batch(state.batch_limit(batch), wait_s=0.0, timeout=_LOOK_UP_S)
                if frames is None:
                    break
                if frames:
                    taken_at = time.monotonic()
                    flying.append((engine.submit(frames, self._tokenizer(state, frames)), taken_at))
                while flying and (len(flying) >= engine.depth or not frames):
                    self._collect(*flying.popleft(), state, delivery, ledger)
                delivery.deliver()
                self._progress.update(delivery.stats, source.state)
        finally:
            while flying:
                self._collect(*flying.popleft(), state, delivery, ledger)

    def _tokenizer(self, state: StreamState, frames: Sequence[Frame]) -> Tokenizer:
        was_learning = state.learning
        tokenizer = state.tokenizer_for(frames)
        if was_learning and not state.learning:
            self._say(f"learned {state.words} words from the stream; its frames are tokenized from here on")
        return tokenizer

    def _collect(
        self,
        pending: PendingBatch,
        taken_at: float,
        state: StreamState,
        delivery: Delivery,
        ledger: Ledger,
    ) -> None:
        batch = pending.result()
        numbers = range(state.next_frame, state.next_frame + len(batch.frames))
        costs = [output.flops for output in batch.frames]
        energies = ledger.record(batch.start_s, batch.end_s, costs, numbers)
        delivery.add(
            state.results(pending, batch, taken_at, energies),
            pending.frames,
            [output.states for output in batch.frames],
        )

    def _on_notice(self, notice: Notice) -> None:
        self._say(notice.message)

    def _say(self, text: str) -> None:
        if self._progress is not None:
            self._progress.notice(text)
        elif not self._options.quiet:
            self._console.print(text, highlight=False, markup=False)

    def _summarise(self, delivery: Delivery, energy: str, source: Source, model: Model) -> None:
        options, stats = self._options, delivery.stats
        written = [path for path in (options.out, options.annotate) if path not in (None, "-")]
        if options.json_summary is not None:
            extra = {
                "source": source.info.display,
                "decoder": source.info.decoder,
                "device": str(model.device),
                "outputs": written,
            }
            write_json_summary(stats, options.json_summary, extra)
            written.append(options.json_summary)
        if not options.quiet:
            print_summary(stats, self._console, energy, written)
