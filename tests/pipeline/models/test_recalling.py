"""Runs of some positions against what was kept of all, for every family, held against timm's own blocks."""

import numpy as np
import pytest
import torch

from pipeline.frame import Frame, FrameTimes, Geometry
from pipeline.models.answering import Answered, Watched
from pipeline.models.encoder import PackedEncoder
from pipeline.models.positions import Place
from pipeline.models.recalling import Recaller
from pipeline.models.refusal import parts_of
from pipeline.tokenizers import MergeTokenizer
from pipeline.tokenizers.merge import MergeStep
from pipeline.tokenizers.stateful import Decided, Memory, Run, StatefulTokenizer
from tests.pipeline.models.families import FAMILIES, build, images_for

DEPTH = 3
EVERYTHING = None
SOME = torch.tensor([0, 3, 17, 18, 40])
NOTHING = torch.tensor([], dtype=torch.int64)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    model = build(request.param, DEPTH)
    return PackedEncoder(model), images_for(model)


class Scripted(StatefulTokenizer):
    """Wishes for what it was told to, one entry per run: rows, everything, or a step."""

    name = "scripted"

    def __init__(self, *wishes, cache: torch.dtype = torch.float32) -> None:
        self.memory = Memory(cache)
        self.wishes = wishes
        self.dropped = False

    def answer(self, frame, place, patches):  # noqa: ARG002
        for wish in self.wishes:
            step = wish if isinstance(wish, MergeStep) else None
            yield Run(self.memory, None if step else wish, step)
        return Decided("recall", self.memory, torch.zeros(len(patches), dtype=torch.uint8), 0, 0)

    def checked(self, patches, ran):  # noqa: ARG002
        raise AssertionError("nobody checks it")

    @property
    def bytes(self) -> int:
        return self.memory.bytes

    def forget(self) -> None:
        self.dropped = True


def watched(encoder: PackedEncoder, image: torch.Tensor, tokenizer: StatefulTokenizer) -> Watched:
    height, width = image.shape[1:]
    geometry = Geometry(width, height, width, height, 1.0, 1.0, 0.0, 0.0)
    frame = Frame(FrameTimes(pts_s=0.0), np.zeros((height, width, 3), np.uint8), geometry)
    return Watched(frame, tokenizer, image, Place.filling(height, width, encoder.patch_size))


def answered(encoder: PackedEncoder, image: torch.Tensor, tokenizer: Scripted, *wishes) -> Answered:
    tokenizer.wishes = wishes
    (answer,) = Recaller(encoder).answer([watched(encoder, image, tokenizer)])
    return answer


class Slow:
    """Keeps what every block saw of every position; timm's blocks then run on all of it, each time."""

    def __init__(self, encoder: PackedEncoder) -> None:
        self.encoder = encoder
        self.seen: list[torch.Tensor] = []

    def run(self, image: torch.Tensor, rows: torch.Tensor | None) -> torch.Tensor:
        """(prefix+N, C) normalised output tokens, of which only some positions are new."""
        model, prefix = self.encoder.model, self.encoder.prefix
        embedded = model._pos_embed(model.patch_embed(image[None]))
        tokens, rope = embedded if isinstance(embedded, tuple) else (embedded, None)
        new = model.norm_pre(tokens)[0]
        where = slice(None) if rows is None else torch.cat([torch.arange(prefix), rows + prefix])
        if not self.seen:
            self.seen = [new.clone() for _ in range(len(model.blocks) + 1)]
        for layer, block in enumerate(model.blocks):
            self.seen[layer][where] = new[where]
            new = block(self.seen[layer][None], **({} if rope is None else {"rope": rope}))[0]
        self.seen[-1][where] = new[where]
        return model.norm(self.seen[-1])


@torch.inference_mode()
def test_running_all_positions_gives_the_plain_output_of_timm(family):
    encoder, images = family
    expected = encoder.model.forward_features(images)
    tokenizer = Scripted(cache=torch.bfloat16)

    for image, tokens in zip(images, expected, strict=True):
        answer = answered(encoder, image, tokenizer, EVERYTHING)

        # Whatever type the memory is of: nobody attends to it here.
        torch.testing.assert_close(answer.tokens, tokens, atol=1e-5, rtol=0)
        features = Recaller(encoder).features([answer])
        torch.testing.assert_close(
            encoder.head(features), encoder.model.forward_head(tokens[None]), atol=1e-5, rtol=0
        )


@torch.inference_mode()
def test_running_some_positions_equals_a_slow_version_that_keeps_what_every_block_saw(family):
    encoder, images = family
    slow, tokenizer = Slow(encoder), Scripted()
    rest = torch.tensor([row for row in range(encoder.grid[0] * encoder.grid[1]) if row not in SOME.tolist()])
    first = slow.run(images[0], EVERYTHING)
    torch.testing.assert_close(answered(encoder, images[0], tokenizer, EVERYTHING).tokens, first)

    least = NOTHING if encoder.prefix else SOME[:1]
    for image, rows in ((images[1], SOME), (images[2], least), (images[2], rest), (images[0], EVERYTHING)):
        answer = answered(encoder, image, tokenizer, rows)
        expected = slow.run(image, rows)

        torch.testing.assert_close(answer.tokens, expected, atol=1e-5, rtol=0)
    # Positions that did not run keep their tokens to the bit.
    before = tokenizer.memory.tokens.clone()
    answered(encoder, images[1], tokenizer, SOME)
    same = (before == tokenizer.memory.tokens).all(dim=1)[encoder.prefix :]
    assert sorted((~same).nonzero().flatten().tolist()) == SOME.tolist()


@torch.inference_mode()
def test_a_run_says_how_far_tokens_moved_and_what_the_answer_takes_from_them(family):
    encoder, images = family
    slow, tokenizer, prefix = Slow(encoder), Scripted(), encoder.prefix
    old = slow.run(images[0], EVERYTHING)[prefix:].clone()
    answered(encoder, images[0], tokenizer, EVERYTHING)

    (ran,) = answered(encoder, images[1], tokenizer, SOME).runs

    new = slow.run(images[1], SOME)
    moved = (new[prefix:] - old).norm(dim=1) / old.norm(dim=1)
    torch.testing.assert_close(ran.change, moved[SOME], atol=1e-5, rtol=1e-4)
    pooled = encoder.model.forward_head(new[None], pre_logits=True)[0]
    torch.testing.assert_close(ran.summary, pooled, atol=1e-5, rtol=0)
    assert 0 < float(ran.attention.sum()) <= 1 + 1e-5
    if "a class token" not in parts_of(encoder.model):
        assert len(ran.attention.unique()) == 1
    else:
        assert len(ran.attention.unique()) > 32


@torch.inference_mode()
def test_a_merged_run_leaves_the_key_and_value_of_a_token_with_all_of_its_patches(family):
    encoder, images = family
    tokenizer = Scripted()
    plan = MergeTokenizer(6).plan(images[:1], encoder.patch_size, encoder.prefix)
    expected = encoder.encode(images[:1], plan)

    answer = answered(encoder, images[0], tokenizer, MergeStep(6))
    torch.testing.assert_close(answer.tokens, expected.plan.restore(expected.tokens)[0], atol=1e-5, rtol=0)
    assert torch.equal(answer.runs[0].group, expected.plan.group[0])

    if encoder.prefix == 0:
        return
    # What attends to copies of a key pays as much as to one that counts as often.
    again = answered(encoder, images[0], tokenizer, NOTHING)
    torch.testing.assert_close(again.tokens, answer.tokens, atol=1e-5, rtol=0)
    torch.testing.assert_close(again.runs[0].attention, answer.runs[0].attention, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_an_answer_does_not_depend_on_the_streams_it_shares_a_pass_with(family):
    encoder, images = family
    scripts = [(EVERYTHING,), (SOME,), (SOME, MergeStep(4)), (SOME[3:],), (MergeStep(6),), (SOME[:2], SOME)]

    def streams() -> list[Scripted]:
        tokenizers = [Scripted() for _ in scripts]
        for tokenizer in tokenizers:
            answered(encoder, images[0], tokenizer, EVERYTHING)
        return tokenizers

    together, alone = streams(), streams()
    frames = []
    for index, (tokenizer, script) in enumerate(zip(together, scripts, strict=True)):
        tokenizer.wishes = script
        frames.append(watched(encoder, images[index % 2 + 1], tokenizer))
    answers = Recaller(encoder).answer(frames)

    for index, (tokenizer, script) in enumerate(zip(alone, scripts, strict=True)):
        expected = answered(encoder, images[index % 2 + 1], tokenizer, *script)
        torch.testing.assert_close(answers[index].tokens, expected.tokens, atol=1e-5, rtol=0)
        assert [ran.kept for ran in answers[index].runs] == [ran.kept for ran in expected.runs]


@torch.inference_mode()
def test_frames_of_one_stream_in_a_batch_are_answered_one_after_the_other(family):
    encoder, images = family
    one, other = Scripted(), Scripted()
    for tokenizer in (one, other):
        answered(encoder, images[0], tokenizer, EVERYTHING)
        tokenizer.wishes = (SOME,)

    answers = Recaller(encoder).answer([watched(encoder, image, one) for image in images])

    for image, answer in zip(images, answers, strict=True):
        expected = answered(encoder, image, other, SOME)
        torch.testing.assert_close(answer.tokens, expected.tokens, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_streams_are_dropped_when_a_pass_that_they_share_fails():
    model = build("vit", DEPTH)
    encoder, images = PackedEncoder(model), images_for(model)
    good, bad = Scripted(EVERYTHING), Scripted(SOME)  # there is nothing yet to recall

    with pytest.raises(IndexError):
        Recaller(encoder).answer([watched(encoder, images[0], one) for one in (good, bad)])

    assert good.dropped
    assert bad.dropped
