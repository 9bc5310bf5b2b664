"""A stream's tokenizer under watch: which frames are audited, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeline.frame import Frame
from pipeline.guard.alarm import Alarm
from pipeline.guard.audits import Audits, Draw
from pipeline.guard.guard import Guard
from pipeline.guard.knob import Knob, Scale, Strictness
from pipeline.guard.looks import Looks
from pipeline.guard.promise import Promise, Watch
from pipeline.guard.stream_fidelity import GuardStatus
from pipeline.reading import FrameOutput
from pipeline.scene.scene import Scene
from pipeline.stacking import Check, Part
from pipeline.tokenizers.full import FullTokenizer
from pipeline.tokenizers.registry import Kind
from pipeline.tokenizers.stateful import StatefulTokenizer
from pipeline.tokenizers.stream import StreamTokenizer


class Guarded:
    """A tokenizer at work on a stream, watched.

    Args:
        kind: the tokenizer.
        options: of it, checked.
        tokenizer: the same, opened for the stream.
        watch: how.
        scene: what looks at the patches of its answers; None for nothing.

    Raises:
        UsageError: a promise is asked for that the tokenizer cannot be held to.

    Attributes:
        fidelity: what audits found so far.
        given: how much of the way from its own target to the least it goes, 0..1.
        scene: as given.
    """

    def __init__(
        self,
        kind: Kind,
        options: Mapping[str, Any],
        tokenizer: StreamTokenizer,
        watch: Watch,
        scene: Scene | None = None,
    ) -> None:
        self.scene = scene
        self._tokenizer = tokenizer
        self._options = dict(options)
        self._draw = Draw(watch.audit, watch.seed)
        held = self._options.get(kind.holds) if kind.holds is not None else None
        self._audits = Audits(watch.promise if held is None else watch.promise or Promise(held))
        self._alarm = Alarm()
        self._remembers = False
        self._promise = watch.promise
        self._holds = kind.holds
        # What was asked for, and what is kept now; one that gives way keeps less.
        self._own = watch.promise if held is None else watch.promise or Promise(held)
        self._least = watch.least
        self.given = self._kept = 0.0
        self.fidelity = self._audits.fidelity()
        self._knob: Scale | None = None
        self._looks: Looks | None = None
        self._guard: Guard | None = None
        if watch.promise is not None:
            watch.promise.check(kind)
        if watch.promise is not None and kind.holds is not None:
            self._knob = Strictness(kind.holds, watch.promise)
            # What runs in full does not err at all.
            self._guard = Guard(self._knob, watch.promise, watch.promise.target, most_ease=1.0)
            self._looks = Looks(watch.audit, watch.seed)
            self._tune(self._guard.value)
        elif watch.promise is not None and kind.knob is not None:
            self._knob = Knob(kind)
            start = kind.value(self._knob.name, self._options.get(self._knob.name))
            self._guard = Guard(self._knob, watch.promise, start)
            self._tune(self._guard.value)

    @property
    def bytes(self) -> int:
        """See `StreamTokenizer.bytes`."""
        return self._tokenizer.bytes

    @property
    def guard(self) -> GuardStatus | None:
        """What the guard does; None without one."""
        if self._guard is None or self._knob is None or self._promise is None:
            return None
        # What else is guarded is moved up and down all the time.
        tightened = self._holds is not None and self._guard.tightened
        state = "unable" if self._guard.full else "tightened" if tightened else "holding"
        option = self._knob.name
        looks, missed = self._guard.looks, self._guard.missed
        return GuardStatus(*self._promise, state, option, self._options[option], looks, missed)

    @property
    def own_target(self) -> float | None:
        """The target that was asked for; None without one."""
        return None if self._own is None else self._own.target

    @property
    def target(self) -> float | None:
        """The one that is kept, now or from the next frames on."""
        return None if self._own is None else self._lowered(self._own).target

    @property
    def may_give(self) -> bool:
        """Whether its target may be lowered further."""
        return self._own is not None and self._least is not None and self.given < 1

    def give(self, given: float) -> None:
        """Lowers the target, or raises it again; from any thread.

        Args:
            given: how much of the way to the least, 0..1; nearest of these.
        """
        self.given = min(max(given, 0.0), 1.0)

    def part(self, frames: Sequence[Frame]) -> Part:
        """The next frames of the stream, with what plans them and which of them is audited."""
        part, scene = self._part(frames), self.scene
        if isinstance(part.tokenizer, StatefulTokenizer):
            part.tokenizer.everywhere = scene is not None
        if scene is None:
            return part
        return part._replace(patches=True, values=scene.wants_values)

    def _part(self, frames: Sequence[Frame]) -> Part:
        self._give_way()
        drawn, guard = self._draw.of(len(frames)), self._guard
        unable = guard is not None and guard.full
        looked = self._look(len(frames))
        if guard is not None and unable and self._remembers:
            # In full it goes on remembering, so that what a probe recalls is as fresh as ever.
            self._tune(guard.value if drawn is not None else guard.none)
        tokenizer = self._tokenizer.next(frames)
        self._remembers = isinstance(tokenizer, StatefulTokenizer)
        if isinstance(tokenizer, StatefulTokenizer):
            other = None
        elif isinstance(tokenizer, FullTokenizer):
            # It learns still, or compresses nothing.
            return Part(frames, tokenizer)
        elif unable:
            return Part(frames, FullTokenizer(), None if drawn is None else Check(drawn, tokenizer))
        else:
            other = FullTokenizer()
        if guard is not None and not unable and self._holds is None:
            # What holds a target by itself sees a cut by itself. All frames are seen, so that the next batch
            # knows what is usual.
            rung = [row for row, frame in enumerate(frames) if self._alarm.rings(frame.image)]
            if drawn is None and rung:
                return Part(frames, tokenizer, Check(rung[0], other, drawn=False, called=True))
        if drawn is None and looked is not None and self._remembers:
            return Part(frames, tokenizer, Check(looked, other, drawn=False))
        return Part(frames, tokenizer, None if drawn is None else Check(drawn, other))

    def hear(self, part: Part, outputs: Sequence[FrameOutput]) -> Sequence[FrameOutput]:
        """Takes in what came of a part; gives the outputs with what results say of audits."""
        self._audits.ran(sum(output.flops for output in outputs))
        if part.check is None:
            return outputs
        index = part.check.row
        output = outputs[index]
        found = output.compared
        if found is None:
            if part.check.drawn:
                self._draw.owe()
            return outputs
        if self._looks is not None and output.share:
            self._looks.took(found.flops * output.share / output.flops)
        if isinstance(part.tokenizer, FullTokenizer):
            self._audits.probed(found)
            own = output.flops / (output.flops + found.flops)
            outputs = [*outputs[:index], replace(output, probed=own), *outputs[index + 1 :]]
        elif not part.check.drawn:
            # Bounds are of frames drawn at random alone.
            self._audits.looked(found)
        else:
            audit = self._audits.add(found, output.flops)
            outputs = [*outputs[:index], replace(output, audit=audit), *outputs[index + 1 :]]
        if self._guard is not None and self._promise is not None:
            error = self._promise.error(found.cosine, found.agreement)
            self._guard.hear(error, not part.check.called)
            self._tune(self._guard.value)
        self.fidelity = self._audits.fidelity()
        return outputs

    def _look(self, count: int) -> int | None:
        if self._looks is None or self._guard is None:
            return None
        looked = self._looks.of(count, self._guard.tightened)
        # In full there is nothing to find; the draws are its probes.
        return None if self._guard.full else looked

    def _lowered(self, own: Promise) -> Promise:
        return own if self._least is None else own.lowered(self._least, self.given)

    def _give_way(self) -> None:
        given = self.given
        if self._own is None or given == self._kept:
            return
        self._kept = given
        promise = self._lowered(self._own)
        if self._guard is not None and self._knob is not None:
            self._promise = promise
            if self._holds is not None:
                self._knob = Strictness(self._holds, promise)
            self._guard.promises(promise, self._knob)
            self._tune(self._guard.value)
        elif self._holds is not None:
            self._options[self._holds] = promise.target
            self._tokenizer.tune(self._options)

    def _tune(self, value: float) -> None:
        assert self._knob is not None
        if self._options.get(self._knob.name) != value:
            self._options[self._knob.name] = value
            self._tokenizer.tune(self._options)
