"""Planning the frames of many streams together."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.engine import Engine
from pipeline.frame import Frame, FrameTimes, Geometry
from pipeline.models import load_model
from pipeline.stacking import Planned, plan_of, stacks
from pipeline.tokenizers import (
    FullTokenizer,
    InterTokenizer,
    IntraTokenizer,
    MergeTokenizer,
    RandomTokenizer,
    Tokenizer,
)
from vocab.patches import patchify
from vocab.words import Vocabulary

SIDE, PATCH = 64, 16
GEOMETRY = Geometry(SIDE, SIDE, SIDE, SIDE, 1.0, 1.0, 0.0, 0.0)


class Counted(TorchDispatchMode):
    """Counts what is asked of the device: on a GPU each is a launch, or a copy."""

    asked = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.asked += 1
        return func(*args, **kwargs or {})


def frames(count: int) -> list[Frame]:
    drawn = np.random.default_rng(0).integers(0, 255, (count, SIDE, SIDE, 3), dtype=np.uint8)
    return [Frame(FrameTimes(pts_s=None), image, GEOMETRY) for image in drawn]


def words(seed: int = 0) -> Vocabulary:
    generator = torch.Generator().manual_seed(seed)
    return Vocabulary(torch.randn(40, 3 * PATCH**2, generator=generator))


def test_many_streams_are_planned_with_as_few_calls_as_one():
    engine = Engine(load_model("vit_tiny_patch16_224", weights="random", size="64"))
    shared, asked = words(), {}
    for streams in (1, 16):
        parts: list[Planned] = [([frame], InterTokenizer(shared, 0.9)) for frame in frames(streams)]
        stacked = stacks(parts, PATCH)
        with Counted() as counted, torch.inference_mode():
            engine.plan(stacked)
        asked[streams] = counted.asked

    assert asked[16] == asked[1]


def test_streams_whose_tokenizers_take_turns_are_planned_as_each_of_them_alone():
    shared = words()
    tokenizers: list[Tokenizer] = [
        InterTokenizer(shared, 0.9),
        IntraTokenizer(0.5),
        MergeTokenizer(2),
        InterTokenizer(shared, 0.9),
        InterTokenizer(shared, 0.95, count_sizes=True),
        IntraTokenizer(0.5),
        FullTokenizer(),
        InterTokenizer(words(1), 0.9),
        RandomTokenizer(0.25),
        MergeTokenizer(2),
    ]
    (stack,) = stacks([([frame], one) for frame, one in zip(frames(10), tokenizers, strict=True)], PATCH)
    images = torch.randn(10, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))

    together = plan_of(images, stack, PATCH, prefix=1)

    for row, tokenizer in enumerate(tokenizers):
        alone = tokenizer.plan(images[row : row + 1], PATCH)
        assert torch.equal(together.group[row], alone.group[0])
        assert together.kept_list()[row] == alone.kept_list()[0]
        assert together.steps[row] == (alone.steps[0] if alone.steps else None)
        assert together.proportional[row] == (alone.proportional == (True,))


def test_tokenizers_are_equal_only_with_the_same_words_and_options():
    shared = words()
    assert InterTokenizer(shared, 0.1) == InterTokenizer(shared, 0.1)
    others = [
        InterTokenizer(shared, 0.2),
        InterTokenizer(words(), 0.1),
        InterTokenizer(shared, 0.1, count_sizes=True),
        IntraTokenizer(0.1),
        RandomTokenizer(0.1),
        FullTokenizer(),
    ]
    assert len({InterTokenizer(shared, 0.1), *others}) == len(others) + 1


def test_a_plan_knows_its_tokens_once_they_are_asked_for():
    image = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    vocabulary = Vocabulary.learn(patchify(image, PATCH), 4)
    plan = InterTokenizer(vocabulary, 2.0).plan(image, PATCH)
    plan.fetch()
    assert plan.kept_list() == plan.kept.tolist() == [4]
