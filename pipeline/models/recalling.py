"""Carries out what stateful tokenizers wish for: the frames of several streams in common passes."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import accumulate

import torch
from torch.nn.functional import pad

from pipeline.models.answering import Answered, Watched
from pipeline.models.attention import Segments
from pipeline.models.context import AttentionContext, Capture, Recalled
from pipeline.models.encoder import Features, PackedEncoder
from pipeline.models.positions import Place, Placed, still
from pipeline.models.shapes import rounded
from pipeline.models.stepping import Trail
from pipeline.tokenizers.plan import TokenPlan
from pipeline.tokenizers.stateful import Decided, Ran, Run, StatefulTokenizer
from pipeline.tokenizers.steps import Attended, BlockStep
from vocab.patches import patchify

_Talk = Generator[Run, Ran, Decided]


class Recaller:
    """Runs an encoder for stateful tokenizers, in what computes its blocks one by one.

    Args:
        encoder: whose blocks.
    """

    def __init__(self, encoder: PackedEncoder) -> None:
        self._encoder = encoder

    def answer(self, frames: Sequence[Watched]) -> list[Answered]:
        """Answers frames; those of one stream one after the other, in this order.

        Streams are told apart by their tokenizers. Whatever goes wrong, all of them are dropped.
        """
        waiting: dict[StatefulTokenizer, list[int]] = {}
        for index, watched in enumerate(frames):
            waiting.setdefault(watched.tokenizer, []).append(index)
        block = self._encoder.values_block
        answers = [Answered(watched.place, block if watched.wants_values else None) for watched in frames]
        try:
            for turn in range(max(map(len, waiting.values()))):
                now = [indices[turn] for indices in waiting.values() if turn < len(indices)]
                self._turn({index: frames[index] for index in now}, answers)
        except BaseException:
            for tokenizer in waiting:
                tokenizer.forget()
            raise
        return answers

    def features(self, answers: Sequence[Answered]) -> Features | None:
        """The output tokens of all answers that are not held, in their order; None where all are."""
        fresh = [answer for answer in answers if answer.tokens is not None]
        if not fresh:
            return None
        tokens = [answer.tokens for answer in fresh if answer.tokens is not None]
        return replace(self._whole(tokens, [answer.place for answer in fresh]), answers=fresh)

    def _turn(self, frames: Mapping[int, Watched], answers: Sequence[Answered]) -> None:
        """One frame of each stream: all wishes there are at a time are carried out together."""
        patches = {
            index: patchify(watched.image[None], self._encoder.patch_size)[0]
            for index, watched in frames.items()
        }
        talks: dict[int, _Talk] = {
            index: watched.tokenizer.answer(watched.frame, watched.place, patches[index])
            for index, watched in frames.items()
        }
        wishes: dict[int, Run] = {}
        for index in list(talks):
            self._hear(index, None, talks, wishes, answers)
        while wishes:
            wished, wishes = wishes, {}
            for index, ran in self._run(wished, frames, patches).items():
                answers[index].take(wished[index], ran)
                self._hear(index, ran, talks, wishes, answers)
        checks = {
            index: run
            for index, watched in frames.items()
            if watched.checked and (run := self._check(answers[index])) is not None
        }
        for index, ran in self._run(checks, frames, patches).items():
            answer, run = answers[index], checks[index]
            answer.check = Answered(answer.place, answer.values_of)
            answer.check.end_check(answer.decided, run, ran)
            frames[index].tokenizer.checked(patches[index], ran)

    def _check(self, answer: Answered) -> Run | None:
        """A run of the whole frame; None where its answer is of one."""
        memory = answer.decided.memory
        answer.summary = self._summary(Run(memory), answer.place)
        return None if answer.whole else Run(memory)

    def _hear(
        self,
        index: int,
        ran: Ran | None,
        talks: Mapping[int, _Talk],
        wishes: dict[int, Run],
        answers: Sequence[Answered],
    ) -> None:
        """The next word of a tokenizer, a wish or its last."""
        try:
            wishes[index] = next(talks[index]) if ran is None else talks[index].send(ran)
        except StopIteration as last:
            answers[index].end(last.value)

    def _run(
        self, wishes: Mapping[int, Run], frames: Mapping[int, Watched], patches: Mapping[int, torch.Tensor]
    ) -> dict[int, Ran]:
        stepping = {index: run for index, run in wishes.items() if run.step is not None}
        recalling = {index: run for index, run in wishes.items() if run.step is None}
        ran: dict[int, Ran] = {}
        if recalling:
            ran |= self._run_recalling(recalling, frames, patches)
        if stepping:
            ran |= self._run_stepping(stepping, frames)
        return ran

    def _run_recalling(
        self, wishes: Mapping[int, Run], frames: Mapping[int, Watched], patches: Mapping[int, torch.Tensor]
    ) -> dict[int, Ran]:
        """Some positions of each frame as queries, all that its memory holds as keys."""
        encoder, prefix = self._encoder, self._encoder.prefix
        places = [frames[index].place for index in wishes]
        picks = [self._rows(run, place) for run, place in zip(wishes.values(), places, strict=True)]
        memories = [run.memory for run in wishes.values()]
        embedded = encoder.embed(
            [(patches[index], place, rows) for index, place, rows in zip(wishes, places, picks, strict=True)]
        )
        # In a memory the prefix comes first.
        whole = [
            None if run.rows is None else torch.cat([torch.arange(prefix, device=rows.device), rows + prefix])
            for run, rows in zip(wishes.values(), picks, strict=True)
        ]
        lengths = [prefix + len(rows) for rows in picks]
        total = sum(lengths)
        surplus = rounded(total) - total
        # Behind the last image lie tokens of none.
        tokens = pad(embedded, (0, 0, 0, surplus))
        segments = Segments.of(lengths, tokens.device)
        rotation = self._rotation(places, picks, surplus)
        stepwise, between = encoder.runtime.stepwise, encoder.positions.between
        capture = Capture(wants_attention=True)
        for layer in range(encoder.depth):
            last = layer == encoder.depth - 1
            recalled = Recalled([memory.block(layer) for memory in memories], whole)
            context = AttentionContext(segments, None, capture if last else None, recalled)
            tokens = stepwise.block(layer, tokens, context, rotation)
            if between is not None:
                tokens = between.picked(layer, tokens, places, whole)
        outputs = stepwise.norm(tokens[:total]).split(lengths)
        asks = self._answering_queries(context.attended, lengths)
        ran = {}
        for number, (index, run) in enumerate(wishes.items()):
            rows, place = whole[number], places[number]
            change = self._write(run, outputs[number], rows)
            attention = self._attention(asks[number], run, place)
            summary = self._summary(run, place)
            kept = [len(picks[number])] * encoder.depth
            ran[index] = Ran(change, attention, summary, kept, place.patches)
        return ran

    def _run_stepping(self, wishes: Mapping[int, Run], frames: Mapping[int, Watched]) -> dict[int, Ran]:
        """All positions of each frame; members of a merged token remember its key and value."""
        encoder, prefix = self._encoder, self._encoder.prefix
        memories = [run.memory for run in wishes.values()]
        places = [frames[index].place for index in wishes]
        plan = TokenPlan.join(
            [
                _in_place(place, run.step, prefix, frames[index].image.device)
                for (index, run), place in zip(wishes.items(), places, strict=True)
            ]
        )

        asks: list[torch.Tensor | None] = []

        def watch(layer: int, attended: Attended, now: TokenPlan) -> None:
            start = 0
            asks[:] = self._answering_queries(attended, [prefix + kept for kept in now.kept_list()])
            for memory, place, group, kept in zip(memories, places, now.group, now.kept_list(), strict=True):
                first = torch.arange(prefix, device=group.device)
                tokens = start + torch.cat([first, prefix + group[: place.patches]])
                keys, values = (part[tokens].transpose(0, 1) for part in (attended.keys, attended.values))
                memory.block(layer).write(keys, values, None)
                start += prefix + kept

        dtype = encoder.positions.prefix().dtype
        images = [Placed(frames[index].image[None].to(dtype), frames[index].place) for index in wishes]
        features = encoder.encode(images, plan, watch)
        restored = features.plan.restore(features.tokens)
        ran = {}
        for number, (index, run) in enumerate(wishes.items()):
            place = places[number]
            change = self._write(run, restored[number, : prefix + place.patches], None)
            attention = self._attention(asks[number], run, place)
            kept, flops = features.trail.kept_by(number), features.trail.step_flops[number]
            group = features.plan.group[number, : place.patches]
            ran[index] = Ran(change, attention, self._summary(run, place), kept, None, flops, group)
        return ran

    def _rows(self, run: Run, place: Place) -> torch.Tensor:
        if run.rows is not None:
            return run.rows
        return torch.arange(place.patches, device=self._encoder.positions.prefix().device)

    def _rotation(
        self, places: Sequence[Place], picks: Sequence[torch.Tensor], surplus: int
    ) -> torch.Tensor | None:
        """What each token turns by, and so many behind them."""
        parts = []
        for place, rows in zip(places, picks, strict=True):
            table = self._encoder.positions.rotation(place)
            if table is None:
                return None
            parts += [still(table, self._encoder.prefix), table[rows]]
        return torch.cat([*parts, still(parts[0], surplus)])

    def _answering_queries(self, attended: Attended, lengths: Sequence[int]) -> list[torch.Tensor | None]:
        """(A, H, D) of the tokens of each image that answers are made of; None for a model without."""
        answering = self._encoder.answering
        if answering is None:
            return [None] * len(lengths)
        return [attended.queries[start:][answering] for start in accumulate([0, *lengths[:-1]])]

    def _attention(self, queries: torch.Tensor | None, run: Run, place: Place) -> torch.Tensor:
        """See `Ran.attention`; members of a merged token share what it gets."""
        keys = run.memory.block(self._encoder.depth - 1).keys
        if queries is None:
            return torch.full((place.patches,), 1 / place.patches, device=keys.device)
        scores = queries.float().transpose(0, 1) @ keys.float().transpose(1, 2) * queries.shape[2] ** -0.5
        paid = scores.softmax(dim=-1).mean(dim=(0, 1))
        return paid[self._encoder.prefix :]

    def _write(self, run: Run, outputs: torch.Tensor, rows: torch.Tensor | None) -> torch.Tensor:
        """Takes over output tokens; gives how far those of patches moved."""
        memory, prefix = run.memory, self._encoder.prefix
        if memory.tokens.numel() == 0:
            memory.tokens = outputs.clone()
            return torch.zeros(len(outputs) - prefix, device=outputs.device)
        old = memory.tokens if rows is None else memory.tokens[rows]
        change = (outputs - old)[prefix:].float().norm(dim=1) / old[prefix:].float().norm(dim=1)
        if rows is None:
            memory.tokens.copy_(outputs)
        else:
            # A model that has just chosen its precision goes on with tokens of the one before.
            memory.tokens.index_copy_(0, rows, outputs.to(memory.tokens.dtype))
        return change

    def _summary(self, run: Run, place: Place) -> torch.Tensor:
        features = self._whole([run.memory.tokens], [place])
        return self._encoder.head(features, pre_logits=True)[0].float().clone()

    def _whole(self, tokens: Sequence[torch.Tensor], places: Sequence[Place]) -> Features:
        """Features in which every patch has a token."""
        plan, segments = _in_place_all(tuple(places), self._encoder.prefix, tokens[0].device)
        kept = [place.patches for place in places]
        computed = self._encoder.runtime.stepwise.computed
        trail = Trail(plan, [kept] * self._encoder.depth, [0] * len(kept), computed)
        packed = tokens[0] if len(tokens) == 1 else torch.cat(list(tokens))
        return Features(packed, AttentionContext(segments), trail, places)


def _in_place(place: Place, step: BlockStep | None, prefix: int, device: torch.device) -> TokenPlan:
    """A plan for one image in which every patch is a token."""
    count = place.patches
    group = torch.arange(count, device=device)[None]
    kept = torch.full((1,), count, device=device)
    return TokenPlan(group, kept, prefix, count, steps=() if step is None else (step,))


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _in_place_all(places: tuple[Place, ...], prefix: int, device: torch.device) -> tuple[TokenPlan, Segments]:
    """The same of a batch; streams come together again and again."""
    plan = TokenPlan.join([_in_place(place, None, prefix, device) for place in places])
    return plan, Segments.of([prefix + place.patches for place in places], device)
