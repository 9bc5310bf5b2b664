"""`vwt run`: one stream, one process. Decoding in its own thread, inference here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

from pipeline.calibrating import calibrate
from pipeline.energy import Ledger, open_meter
from pipeline.engine import Engine, PendingBatch
from pipeline.errors import VwtError
from pipeline.events import Event
from pipeline.events.sense import Said, never_met
from pipeline.frame import Frame
from pipeline.guard.guarded import Guarded
from pipeline.in_flight import InFlight
from pipeline.models import Model, load_model, resolve_device
from pipeline.outputs.files import check_folder
from pipeline.preprocess import Preprocessor
from pipeline.reader import FrameReader
from pipeline.redact import redact
from pipeline.runtimes import INT8
from pipeline.scene.classes import Classes
from pipeline.scene.zones import Zones
from pipeline.sources import Source
from pipeline.stacking import Part
from pipeline.stream import StreamState
from workers.notices import Notices
from workers.run.delivery import Delivery
from workers.run.events import RunEvents
from workers.run.options import RunOptions
from workers.run.outputs import check_outputs
from workers.run.progress import Progress
from workers.run.remembered import Remembered, check_index
from workers.run.summary import print_rows, print_summary, write_json_summary
from workers.run.tokenizer import check_tokenizer, load_vocabulary, stream_state

if TYPE_CHECKING:
    from workers.run.metrics import RunMetrics

# How often a quiet stream looks up to see whether it should stop.
_LOOK_UP_S = 0.25


@dataclass(frozen=True, slots=True)
class _Submitted:
    """A batch under way, and when (`time.monotonic()`) its frames were taken from the queue."""

    pending: PendingBatch
    taken_at: float


class StreamRun:
    """Runs one source to its end, or until it is told to stop.

    Args:
        options: what to do.
        source: to read; closed when the run is over.
        notices: says what happens on the way.
        stop: set to finish the batches under way and end.
    """

    def __init__(self, options: RunOptions, source: Source, notices: Notices, stop: threading.Event) -> None:
        self._options = options
        self._source = source
        self._notices = notices
        self._stop = stop

    def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Runs; every result is written and the summary shown when this returns or raises.

        Args:
            on_ready: called once everything is loaded, before a file is written.

        Raises:
            VwtError: what failed, why, what to do.
        """
        options, info = self._options, self._source.info
        check_outputs(options)
        for folder, option in ((options.events, "--events"), (options.index, "--index")):
            if folder is not None:
                check_folder(folder, option)
        check_tokenizer(options.tokenizer)
        vocabulary = load_vocabulary(options.tokenizer)
        zones = None if options.zones is None else Zones.load(options.zones)
        classes = None if options.classes is None else Classes.load(options.classes)
        with ExitStack() as stack:
            device = resolve_device(options.device)
            with self._notices.waiting(f"loading {options.model}"):
                model = load_model(
                    options.model,
                    options.weights,
                    device,
                    embedding=options.embedding or options.index is not None,
                    fit=options.fit,
                    size=options.size,
                    embedding_only=options.embedding_only,
                    min_score=options.min_score,
                    precision=options.precision,
                    runtime=options.runtime,
                    on_notice=self._notices.say,
                    fitted_to=options.calibrate or options.source,
                    names=options.names,
                    labels=options.labels,
                    cells=options.index is not None,
                )
            check_index(options, model)
            self._calibrate(model)
            name = options.name or info.name
            state = stack.enter_context(
                stream_state(name, options, model, vocabulary, info.live, self._notices.say, zones, classes)
            )
            meter = open_meter(options.meter, str(device), options.watts_per_core)
            stack.callback(meter.close)
            ledger = stack.enter_context(Ledger(meter))
            metrics = self._metrics(name, stack)
            remembered = None
            if options.index is not None:
                remembered = stack.enter_context(Remembered(options, name, info.live, model.patch_size))
            on_ready()
            events = self._events(name, model, zones, classes)
            delivery = Delivery(
                ledger, options.out, options.annotate, options.fps or info.rate, metrics, events
            )
            reader = self._reader(model)
            failure = None
            progress = Progress(
                info, self._notices.console, options.quiet, options.max_frames, self._source.decoding
            )
            with self._notices.above(progress):
                try:
                    collect = partial(self._collect, state, delivery, ledger, remembered)
                    self._loop(reader, Engine(model), state, delivery, collect, progress, events)
                except VwtError as error:
                    failure = error
                finally:
                    reader.stop()
                    delivery.stats.count_dropped(reader.dropped_at_end())
                    try:
                        delivery.close()
                    except VwtError as error:
                        failure = failure or error
            self._summarise(delivery, meter.describe(), ledger, model, state.guarded, events, remembered)
            if failure is not None:
                raise failure

    def _calibrate(self, model: Model) -> None:
        """Shows a model in eight bits frames before it runs; those of the stream only where it is a file."""
        options = self._options
        source = options.calibrate
        if source is None and options.precision == INT8 and not self._source.info.live:
            source = options.source
        if source is not None and model.frames_wanted:
            with self._notices.waiting(f"calibrating on {redact(source)}"):
                calibrate(model, source)

    def _metrics(self, name: str, stack: ExitStack) -> RunMetrics | None:
        if self._options.metrics_port is None:
            return None
        from workers.run.metrics import RunMetrics, served

        metrics = RunMetrics(name)
        served_at = served(metrics, self._options.metrics_host, self._options.metrics_port)
        self._notices.say(f"metrics are at {stack.enter_context(served_at)}")
        return metrics

    def _events(
        self, name: str, model: Model, zones: Zones | None, classes: Classes | None
    ) -> RunEvents | None:
        options = self._options
        if not options.rules:
            return None
        known = {} if zones is None else {name: list(zone.means) for name, zone in zones.zones.items()}
        said = Said(
            model.answers,
            changed=options.changed or classes is not None,
            classes=None if classes is None else classes.names,
            zones=known,
            guarded=options.tokenizer.watch.promise is not None,
        )
        for line in never_met(options.rules, said):
            self._notices.say(line)
        places = {} if zones is None else {name: zone.polygon.points for name, zone in zones.zones.items()}
        packets = options.opening.packets
        return RunEvents(name, options.rules, options.events, self._notices.say, packets, places)

    def _status(self, events: RunEvents, state: StreamState) -> list[Event]:
        guard = state.guarded.guard
        doing = "reconnecting" if self._source.state == "reconnecting" else "running"
        return events.status(doing, None if guard is None else guard.state, state.next_frame)

    def _reader(self, model: Model) -> FrameReader:
        options, live = self._options, self._source.info.live
        preprocessor = Preprocessor(model.input, keep_picture=bool(options.annotate or options.events))
        if live:
            # Frames that came while all was made ready were never this run's to look at.
            self._source.take_dropped()
        return FrameReader(
            self._source,
            preprocessor,
            fps=options.fps,
            policy=options.policy or ("drop-oldest" if live else "block"),
            # One batch under way, one being gathered: more would only make results older.
            capacity=options.batch,
            max_frames=options.max_frames,
        )

    def _loop(
        self,
        reader: FrameReader,
        engine: Engine,
        state: StreamState,
        delivery: Delivery,
        collect: Callable[[_Submitted], None],
        progress: Progress,
        events: RunEvents | None,
    ) -> None:
        batch = self._options.batch
        with InFlight[_Submitted](collect) as in_flight:
            while not self._stop.is_set():
                frames = reader.batch(state.batch_limit(batch), wait_s=0.0, timeout=_LOOK_UP_S)
                if frames is None:
                    break
                if frames:
                    taken_at = time.monotonic()
                    pending = engine.submit_parts([self._part(state, frames)])
                    in_flight.add(_Submitted(pending, taken_at), engine.depth)
                else:
                    in_flight.drain()
                delivery.deliver()
                if events is not None:
                    delivery.tell(self._status(events, state))
                progress.update(delivery.stats, self._doing(state))
            if state.learning and state.next_frame:
                self._notices.say(
                    "no words were learned before the end, so every frame ran in full; "
                    "a smaller --warmup-frames or words of an earlier run (--vocab) help"
                )

    def _part(self, state: StreamState, frames: Sequence[Frame]) -> Part:
        was_learning = state.learning
        part = state.part(frames)
        if was_learning and state.vocabulary is not None:
            self._notices.say(f"{len(state.vocabulary)} words are there; frames are tokenized from here on")
        return part

    def _collect(
        self,
        state: StreamState,
        delivery: Delivery,
        ledger: Ledger,
        remembered: Remembered | None,
        submitted: _Submitted,
    ) -> None:
        pending, guard = submitted.pending, state.guarded.guard
        results, batch = state.take_in(pending, submitted.taken_at, ledger)
        now = state.guarded.guard
        if guard is not None and now is not None and now.state != guard.state:
            self._notices.say(f"guard: {now.text()}")
        if remembered is not None:
            results = remembered.take(results, pending.frames, batch.frames)
        delivery.add(results, pending.frames, [output.states for output in batch.frames])

    def _doing(self, state: StreamState) -> str:
        if self._source.state == "reconnecting":
            return "reconnecting"
        if state.learning:
            return "learning words"
        return "running" if state.vocabulary is None else f"words v{state.vocabulary.version}"

    def _summarise(
        self,
        delivery: Delivery,
        energy: str,
        ledger: Ledger,
        model: Model,
        guarded: Guarded,
        events: RunEvents | None,
        remembered: Remembered | None,
    ) -> None:
        options, info, stats = self._options, self._source.info, delivery.stats
        paths = (options.out, options.annotate, options.json_summary)
        written = [path for path in paths if path not in (None, "-")]
        if options.json_summary is not None:
            extra = {
                "source": info.display,
                "decoder": info.decoder,
                "decoding": asdict(self._source.decoding),
                "device": str(model.device),
                "outputs": written,
                "ledger": asdict(ledger.totals()),
                "fidelity": guarded.fidelity.to_dict(),
                "guard": None if guarded.guard is None else guarded.guard.to_dict(),
                "events": None if events is None else dict(events.counts),
                "history": None if remembered is None else remembered.to_dict(),
            }
            write_json_summary(stats, options.json_summary, extra)
        if not options.quiet:
            happened = None if events is None else events.text()
            print_summary(
                stats, self._notices.console, energy, written, guarded, self._source.decoding, happened
            )
            if remembered is not None:
                print_rows(self._notices.console, [("history", remembered.text())])
