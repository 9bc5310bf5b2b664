"""A stream that asks for it gets the features of its patches on the way to results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.engine import Engine
from pipeline.frame import Frame, FrameTimes
from pipeline.models import load_model
from pipeline.models.packed import PackedModel
from pipeline.reading import FrameOutput
from pipeline.stacking import Check, Part, stacks
from pipeline.tokenizers import DROPPED, MERGED, FullTokenizer, IntraTokenizer, Tokenizer
from pipeline.tokenizers.registry import kind_of
from pipeline.tokenizers.stateful import StatefulTokenizer
from pipeline.tokenizers.stream import StreamNeeds
from tests.workers.inference.examples import clip


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(load_model())


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return clip(count=6)


def recall() -> StatefulTokenizer:
    opened = kind_of("recall").open({}, StreamNeeds())
    tokenizer = opened.next([])
    assert isinstance(tokenizer, StatefulTokenizer)
    return tokenizer


def asked_for(name: str, **options: float) -> Tokenizer:
    tokenizer = kind_of(name).open(options, StreamNeeds()).next([])
    assert not isinstance(tokenizer, StatefulTokenizer)
    return tokenizer


def run(engine: Engine, *parts: Part) -> Sequence[FrameOutput]:
    return engine.submit_parts(parts).result().frames


def asked(engine: Engine, tokenizer: Tokenizer | StatefulTokenizer, *frames: Frame) -> list[np.ndarray]:
    outputs = run(engine, Part(frames, tokenizer, patches=True))
    return [output.patches for output in outputs]


def test_they_are_those_of_the_model_itself_with_unit_length(engine: Engine, frames: list[Frame]) -> None:
    (patches,) = asked(engine, FullTokenizer(), frames[0])
    assert isinstance(engine.model, PackedModel)
    with torch.inference_mode():
        _, images = engine.plan(stacks([(frames[:1], FullTokenizer())], 14))
        features = engine.model.encode(
            images, FullTokenizer().plan(images[0].images, 14, engine.model.prefix)
        )
        expected = engine.model.detail(features)["patches"][0].float().numpy()
    expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    rows, columns = (side // 14 for side in frames[0].image.shape[:2])
    assert patches.shape == (rows, columns, expected.shape[1])
    np.testing.assert_allclose(patches.reshape(rows * columns, -1), expected, atol=1e-5)


def test_who_does_not_ask_gets_none_also_beside_somebody_who_does(
    engine: Engine, frames: list[Frame]
) -> None:
    (alone,) = asked(engine, FullTokenizer(), frames[2])
    outputs = run(
        engine,
        Part(frames[:1], FullTokenizer()),
        Part(frames[1:2], recall()),
        Part(frames[2:3], FullTokenizer(), patches=True),
        Part(frames[3:4], recall(), patches=True),
    )
    assert [output.patches is not None for output in outputs] == [False, False, True, True]
    np.testing.assert_allclose(outputs[2].patches, alone, atol=1e-4)
    (alone,) = asked(engine, recall(), frames[3])
    np.testing.assert_allclose(outputs[3].patches, alone, atol=1e-4)


def test_a_frame_run_in_full_has_the_same_features_whether_it_recalls_or_not(
    engine: Engine, frames: list[Frame]
) -> None:
    (full,), (first,) = asked(engine, FullTokenizer(), frames[0]), asked(engine, recall(), frames[0])
    np.testing.assert_allclose(first, full, atol=1e-4)


def test_a_held_frame_has_those_of_the_one_before(engine: Engine, frames: list[Frame]) -> None:
    still = [replace(frames[0], times=FrameTimes(pts_s=number / 25)) for number in range(4)]
    tokenizer = recall()
    first, second = run(engine, Part(still[:2], tokenizer, patches=True))
    third, fourth = run(engine, Part(still[2:], tokenizer, patches=True))
    assert [output.decision for output in (second, third, fourth)] == ["hold"] * 3
    assert second.patches is third.patches is fourth.patches is first.patches


def test_an_audit_leaves_the_features_of_its_frame_alone(engine: Engine, frames: list[Frame]) -> None:
    tokenizer = IntraTokenizer(0.5)
    (expected,) = asked(engine, tokenizer, frames[1])
    outputs = run(engine, Part(frames[1:2], tokenizer, Check(0, FullTokenizer()), patches=True))
    assert outputs[0].compared is not None
    np.testing.assert_allclose(outputs[0].patches, expected, atol=1e-4)


def test_dropped_patches_are_zeros_and_members_of_a_token_share_its_features(
    engine: Engine, frames: list[Frame]
) -> None:
    tokenizer = asked_for("intra", threshold=0.5, drop=0.25)
    (output,) = run(engine, Part(frames[:1], tokenizer, patches=True))
    assert output.states is not None
    assert output.patches is not None
    assert (output.states == DROPPED).any()
    np.testing.assert_array_equal(output.patches.any(axis=2), output.states != DROPPED)
    (output,) = run(engine, Part(frames[:1], asked_for("merge", r=8), patches=True))
    assert output.states is not None
    assert output.patches is not None
    merged = output.patches[output.states == MERGED]
    assert 0 < len(np.unique(merged, axis=0)) < len(merged)
