"""Streams under watch, with the real model on a real clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.engine import Engine
from pipeline.frame import Frame, FrameTimes
from pipeline.guard.audits import Draw
from pipeline.guard.guarded import Guarded
from pipeline.guard.promise import Promise, Watch
from pipeline.models import load_model
from pipeline.reading import FrameOutput
from pipeline.stacking import Part
from pipeline.tokenizers import FullTokenizer, MergeTokenizer
from pipeline.tokenizers.registry import kind_of
from pipeline.tokenizers.stream import GivenWords, StreamNeeds
from pipeline.warmup import learn_words
from tests.workers.inference.examples import clip


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(load_model(embedding=True))


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return clip(count=12)


def guarded(name: str, watch: Watch, **options: Any) -> Guarded:
    kind = kind_of(name)
    options = kind.check(options)
    return Guarded(kind, options, kind.open(options, StreamNeeds()), watch)


def run(engine: Engine, stream: Guarded, frames: Sequence[Frame], batch: int = 1) -> list[FrameOutput]:
    outputs: list[FrameOutput] = []
    for first in range(0, len(frames), batch):
        part = stream.part(frames[first : first + batch])
        outputs += stream.hear(part, engine.submit_parts([part]).result().frames)
    return outputs


def in_turn(frames: Sequence[Frame]) -> list[Frame]:
    """The frames, shown one after the other."""
    return [replace(frame, times=FrameTimes(pts_s=0.4 * n)) for n, frame in enumerate(frames)]


def test_an_audit_says_how_near_the_answer_is_to_that_of_the_full_model(
    engine: Engine, frames: list[Frame]
) -> None:
    outputs = run(engine, guarded("merge", Watch(audit=1.0), r=12), frames[:3])
    for frame, output in zip(frames, outputs, strict=False):
        (full,) = engine.submit([frame], FullTokenizer()).result().frames
        (given,) = engine.submit([frame], MergeTokenizer(12)).result().frames
        # What is given is the tokenizer's answer, whether it is audited or not.
        assert (output.tokens_kept, output.flops) == (given.tokens_kept, given.flops)
        ours, theirs = np.array(given.prediction.embedding), np.array(full.prediction.embedding)
        np.testing.assert_allclose(output.prediction.embedding, ours, atol=2e-5)
        expected = ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)
        assert output.audit is not None
        assert output.audit.cosine == pytest.approx(expected, abs=1e-5)
        assert output.audit.cosine < 0.9999
        assert output.spent == given.flops + full.flops
        assert output.audit.cost == pytest.approx(full.flops / output.spent)


def test_the_change_is_that_since_the_audit_before(engine: Engine, frames: list[Frame]) -> None:
    first, *others = run(engine, guarded("merge", Watch(audit=1.0), r=4), frames[:4])
    assert first.audit is not None
    assert first.audit.change is None
    for output in others:
        assert output.audit is not None
        assert output.audit.change is not None
        assert 0.5 < output.audit.change <= 1


def test_of_a_batch_one_frame_is_audited_and_what_it_costs_is_counted_apart(
    engine: Engine, frames: list[Frame]
) -> None:
    stream = guarded("merge", Watch(audit=1.0), r=12)
    outputs = run(engine, stream, frames[:8], batch=4)
    assert [output.audit is not None for output in outputs] == [True, False, False, False] * 2
    fidelity = stream.fidelity
    assert fidelity.audits == 2
    own = sum(output.flops for output in outputs)
    assert fidelity.share == pytest.approx(1 - own / sum(output.spent for output in outputs))


def test_of_two_streams_in_a_pass_one_is_audited_and_the_other_at_its_next_frame(
    engine: Engine, frames: list[Frame]
) -> None:
    streams = [guarded("merge", Watch(audit=1.0, seed=seed)) for seed in range(2)]
    parts = [stream.part(frames[:1]) for stream in streams]
    outputs = engine.submit_parts(parts).result().frames
    heard = [s.hear(p, [o])[0] for s, p, o in zip(streams, parts, outputs, strict=True)]
    assert [output.audit is not None for output in heard] == [True, False]
    assert streams[1].part(frames[1:2]).check is not None


def test_frames_are_drawn_at_random_as_often_as_was_asked_for(frames: list[Frame]) -> None:
    drawn = []
    for seed in range(2):
        stream = guarded("merge", Watch(audit=0.1, seed=seed))
        drawn.append([stream.part(frames[:1]).check is not None for _ in range(2000)])
    assert 0.08 < np.mean(drawn) < 0.12
    assert drawn[0] != drawn[1]


def test_where_nothing_is_compressed_nothing_is_audited(frames: list[Frame]) -> None:
    stream = guarded("full", Watch(audit=1.0))
    assert stream.part(frames[:1]).check is None


def test_a_guard_moves_the_knob_until_the_promise_holds(engine: Engine, frames: list[Frame]) -> None:
    stream = guarded("merge", Watch(audit=1.0, promise=Promise(0.995)), r=20)
    started = stream.guard
    run(engine, stream, frames)
    assert started is not None
    assert (started.option, started.value, started.state) == ("r", 20, "holding")
    assert stream.guard is not None
    assert stream.guard.value < 20


@pytest.mark.parametrize("tokenizer", ["recall", "merge"])
def test_a_target_is_lowered_as_far_as_is_allowed_and_raised_again(
    engine: Engine, frames: list[Frame], tokenizer: str
) -> None:
    stream = guarded(tokenizer, Watch(audit=1.0, promise=Promise(0.98), least=0.92))
    kept = []
    for given in (0.0, 0.5, 2.0, 0.0):
        stream.give(given)
        run(engine, stream, frames[:2])
        kept.append((stream.target, stream.own_target, stream.may_give))
    # Half of the way is the geometric mean of what is allowed.
    assert kept == [
        (0.98, 0.98, True),
        (pytest.approx(0.96), 0.98, True),
        (0.92, 0.98, False),
        (0.98, 0.98, True),
    ]
    # Answers are judged by what was asked for.
    assert stream.fidelity.target == 0.98
    stream.give(1)
    run(engine, stream, frames[:2])
    if stream.guard is not None:
        assert stream.guard.target == 0.92


def test_recall_saves_more_where_its_target_is_lowered(engine: Engine, frames: list[Frame]) -> None:
    spent = []
    for given in (0.0, 1.0):
        stream = guarded("recall", Watch(least=0.6))
        stream.give(given)
        spent.append(sum(output.flops for output in run(engine, stream, frames)))
    assert spent[1] < spent[0]


def test_without_a_least_target_none_is_lowered() -> None:
    stream = guarded("recall", Watch())
    stream.give(1)
    assert (stream.target, stream.own_target, stream.may_give) == (0.98, 0.98, False)


def test_what_cannot_be_held_runs_in_full_and_is_probed(engine: Engine, frames: list[Frame]) -> None:
    stream = guarded("intra", Watch(audit=1.0, promise=Promise(0.99999)), drop=0.85)
    outputs = run(engine, stream, frames)
    assert stream.guard is not None
    assert stream.guard.state == "unable"
    assert stream.guard.text() == "cannot hold 0.99999, running in full"
    assert outputs[-1].tokens_kept == outputs[-1].tokens_full
    # The probe is no part of the answer.
    assert outputs[-1].audit is None
    assert outputs[-1].spent > outputs[-1].flops
    assert outputs[-1].probed == outputs[-1].flops / outputs[-1].spent
    part = stream.part(frames[:1])
    assert isinstance(part.tokenizer, FullTokenizer)
    assert part.check is not None
    assert part.check.other is not None


def test_another_scene_is_looked_at_at_once_and_does_not_count_as_drawn(
    engine: Engine, frames: list[Frame]
) -> None:
    stream = guarded("merge", Watch(audit=1e-9, promise=Promise(0.999)), r=20)
    run(engine, stream, (frames + frames[::-1]) * 2 + frames[:4])
    before = stream.guard
    (output,) = run(engine, stream, clip(count=1, clip="sample:bikes"))
    assert output.compared is not None
    assert output.audit is None
    assert stream.fidelity.audits == 0
    assert stream.fidelity.share is not None
    assert stream.fidelity.share > 0
    assert before is not None
    assert stream.guard is not None
    assert stream.guard.value < before.value


def test_a_part_that_failed_is_not_heard_and_breaks_nothing(engine: Engine, frames: list[Frame]) -> None:
    stream = guarded("merge", Watch(audit=1.0))
    stream.part(frames[:1])
    (output,) = run(engine, stream, frames[1:2])
    assert output.audit is not None
    assert stream.fidelity.audits == 1


@pytest.mark.usefixtures("trusting")
def test_a_recalled_answer_is_audited_by_running_all_of_its_frame_at_once(
    engine: Engine, frames: list[Frame]
) -> None:
    plain, watched = (guarded("recall", Watch(audit=audit)) for audit in (0.0, 1.0))
    # Neighbours are held; a later frame is recalled.
    some = [frames[0], frames[-1]]
    (_, given), (first, output) = (run(engine, stream, some) for stream in (plain, watched))
    assert first.audit is not None
    assert (first.audit.cosine, first.audit.cost) == (pytest.approx(1.0), 0.0)
    assert given.decision == output.decision == "recall"
    assert (output.tokens_kept, output.flops) == (given.tokens_kept, given.flops)
    np.testing.assert_allclose(output.prediction.embedding, given.prediction.embedding, atol=1e-4)
    (full,) = engine.submit([some[1]], FullTokenizer()).result().frames
    assert output.compared is not None
    ours, theirs = np.array(given.prediction.embedding), np.array(full.prediction.embedding)
    expected = ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)
    # The rest alone would be too near: what ran before recalled it.
    assert output.compared.cosine == pytest.approx(expected, abs=1e-5)
    np.testing.assert_allclose(output.compared.other, theirs, atol=1e-4)
    assert output.compared.flops == full.flops


def test_a_held_answer_is_audited_too_and_the_next_one_is_held_against_what_was_found(
    engine: Engine, frames: list[Frame]
) -> None:
    stream = guarded("recall", Watch(audit=1.0))
    same = [replace(frames[0], times=FrameTimes(pts_s=0.1 * number)) for number in range(3)]
    first, held, again = run(engine, stream, same)
    assert (held.decision, again.decision) == ("hold", "hold")
    assert held.prediction == first.prediction
    assert held.audit is not None
    assert held.audit.cosine == pytest.approx(1.0, abs=1e-3)
    assert held.tokens_kept == 0
    assert held.compared is not None
    assert held.compared.flops > 100 * held.flops
    assert stream.fidelity.audits == 3


def test_audits_teach_recall_how_much_it_may_leave_out(engine: Engine, frames: list[Frame]) -> None:
    def missed(target: float) -> list[bool]:
        stream = guarded("recall", Watch(audit=1.0), target=target)
        outputs = run(engine, stream, frames * 4)
        return [output.audit is not None and output.audit.cosine < target for output in outputs]

    found = missed(0.995)
    # What is missed makes it stricter.
    assert sum(found[len(found) // 2 :]) <= sum(found[: len(found) // 2])


def test_words_that_recall_are_guarded_by_their_threshold(engine: Engine, frames: list[Frame]) -> None:
    kind = kind_of("inter")
    words = learn_words([frame.image for frame in frames], engine.model.input, 14, 100)
    options = kind.check({"threshold": 0.2})
    tokenizer = kind.open(options, StreamNeeds(GivenWords(words)))
    stream = Guarded(kind, options, tokenizer, Watch(audit=1.0, promise=Promise(0.9999)))
    outputs = run(engine, stream, frames * 2)
    assert outputs[1].decision == "recall"
    assert stream.guard is not None
    assert stream.guard.state == "unable"
    undrawn = replace_draw(stream)
    (output,) = run(engine, undrawn, frames[:1])
    assert output.tokens_kept == output.tokens_full


def replace_draw(stream: Guarded) -> Guarded:
    """The same without audits from now on."""
    stream._draw = Draw(0.0, 0)
    return stream


def test_recall_is_judged_by_the_target_that_it_holds() -> None:
    assert guarded("recall", Watch(audit=1.0), target=0.95).fidelity.target == 0.95
    assert guarded("merge", Watch(audit=1.0)).fidelity.target == 0.98


def test_parts_without_a_check_pass_through(frames: list[Frame]) -> None:
    stream = guarded("merge", Watch())
    assert stream.part(frames[:2]) == Part(frames[:2], stream.part(frames[:2]).tokenizer)


def test_what_holds_its_target_is_watched_and_made_stricter_where_it_misses(engine: Engine) -> None:
    stream, states = guarded("recall", Watch(audit=1.0, promise=Promise(0.98))), []
    assert stream.guard is not None
    assert (stream.guard.state, stream.guard.option, stream.guard.value) == ("holding", "target", 0.98)
    assert stream.guard.text() == "holding 0.98 (cosine) at --target 0.98"
    for frame in clip(count=8, clip="sample:bikes"):
        (output,) = run(engine, stream, [frame])
        assert output.compared is not None
        assert stream.guard is not None
        states.append((stream.guard.state, output.compared.cosine < 0.98))
        # Answers are judged by what was promised.
        assert stream.fidelity.target == stream.guard.target == 0.98
    first = states.index(("tightened", True))
    assert states[:first] == [("holding", False)] * first
    assert all(state == "tightened" for state, _ in states[first:])
    missed = sum(missed for _, missed in states)
    assert (stream.guard.looks, stream.guard.missed) == (8, missed)
    assert stream.guard.value > 0.98
    told = stream.guard.text()
    assert told.startswith("holding 0.98 (cosine), tightened to --target 0.99")
    assert told.endswith(f"{missed} of 8 answers looked at missed")


def test_what_cannot_be_held_by_a_stricter_target_runs_in_full(engine: Engine, frames: list[Frame]) -> None:
    stream = guarded("recall", Watch(audit=1.0, promise=Promise(0.9995)))
    assert stream._guard is not None
    for _ in range(8):
        stream._guard.hear(0.5)
    (last,) = run(engine, replace_draw(stream), frames[:1])
    outputs = run(engine, stream, [frames[-1], *frames[:3]])
    assert stream.guard is not None
    assert stream.guard.state == "unable"
    assert stream.guard.text() == "cannot hold 0.9995, running in full"
    assert all(output.tokens_kept == output.tokens_full for output in [last, *outputs])


def test_a_held_target_is_looked_at_beside_its_audits_which_alone_make_bounds(
    engine: Engine, frames: list[Frame]
) -> None:
    watched = guarded("recall", Watch(audit=1e-9, promise=Promise(0.98)))
    plain = guarded("recall", Watch(audit=1e-9))
    moving = in_turn(frames[::4] * 12)
    looks = [sum(o.compared is not None for o in run(engine, one, moving)) for one in (watched, plain)]
    assert looks[0] > looks[1] == 0
    assert watched.guard is not None
    assert watched.fidelity.audits == 0
    assert watched.guard.looks == looks[0]
    assert plain.guard is None
