"""The controls of `vwt bench` on frames of a real clip."""

import numpy as np
import pytest

from pipeline.clip import Clip, read_clip
from pipeline.engine import Engine
from pipeline.errors import UsageError
from pipeline.models import load_model
from pipeline.models.focus import FOCUS_INPUT
from pipeline.preprocess import Preprocessor
from workers.bench.arms import EveryNth, PixelChange, control_arms, threshold_for


@pytest.fixture(scope="module")
def clip() -> Clip:
    return read_clip("sample:carphone", Preprocessor(FOCUS_INPUT), fps=5, first=64, limit=300)


def test_the_first_frames_are_at_most_a_quarter_and_are_not_judged(clip: Clip) -> None:
    assert len(clip.first) == 30
    # 120 frames at 30 frames/s are 4 s; three of them are left, at 5 frames/s.
    assert len(clip.sampled) == 15
    assert clip.first[-1].times.pts_s == pytest.approx(29 / 30, abs=0.01)
    assert clip.sampled[0].times.pts_s == pytest.approx(1.0, abs=0.01)


def test_a_limit_ends_the_reading(clip: Clip) -> None:
    few = read_clip("sample:carphone", Preprocessor(FOCUS_INPUT), fps=5, first=8, limit=2)

    assert len(few.first) == 8
    assert len(few.sampled) == 2
    assert np.array_equal(few.first[7].image, clip.first[7].image)


def test_what_cannot_be_read_again_is_refused() -> None:
    with pytest.raises(UsageError, match="is not a clip"):
        read_clip("camera:0", Preprocessor(FOCUS_INPUT), fps=5, first=8, limit=2)


def test_skipping_answers_one_frame_in_n(clip: Clip) -> None:
    picks = EveryNth(3)

    assert [picks(frame) for frame in clip.sampled[:7]] == [True, False, False] * 2 + [True]


def test_adaptive_skip_answers_what_moved_since_its_last_answer(clip: Clip) -> None:
    first, other = clip.sampled[0], clip.sampled[-1]
    moved = float(np.square(first.image.astype(float) - other.image.astype(float)).mean())
    above, below = PixelChange(moved * 1.001), PixelChange(moved * 0.999)

    assert [above(frame) for frame in (first, first, other, other)] == [True, False, False, False]
    assert [below(frame) for frame in (first, first, other, other)] == [True, False, True, False]


def test_its_threshold_is_found_for_a_share_of_the_frames(clip: Clip) -> None:
    for share in (0.2, 0.5, 0.8):
        picks = PixelChange(threshold_for(clip.sampled, share))
        answered = sum(picks(frame) for frame in clip.sampled)

        assert share * len(clip.sampled) - 3 <= answered <= share * len(clip.sampled)


def test_all_controls_are_there(clip: Clip) -> None:
    arms = control_arms(Engine(load_model("null")), clip.sampled)

    assert [arm.options for arm in arms if arm.method == "skip"] == [{"n": 2}, {"n": 3}, {"n": 4}]
    assert len([arm for arm in arms if arm.method == "adaptive skip"]) >= 4
    assert all(arm.control for arm in arms)
