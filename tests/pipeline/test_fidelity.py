"""The figures of fidelity, against values worked out by hand."""

import math
from typing import Any

import pytest
import torch

from pipeline.boxes import Box
from pipeline.fidelity import Answer, Fidelity, Point, compute_for


def answer(*embedding: float, **more: Any) -> Answer:
    return Answer(torch.tensor(embedding), **more)


def compared(*pairs: tuple[Answer, Answer]):
    fidelity = Fidelity()
    for ours, full in pairs:
        fidelity.add(ours, full)
    return fidelity.figures()


def test_the_full_model_compared_with_itself_is_perfect() -> None:
    generator = torch.Generator().manual_seed(0)
    frames = [
        Answer(
            torch.randn(8, generator=generator),
            torch.randn(4, 8, generator=generator),
            torch.randn(5, generator=generator),
            torch.rand(6, 6, generator=generator),
        )
        for _ in range(3)
    ]

    figures = compared(*((frame, frame) for frame in frames))

    assert figures.frames == 3
    for name in ("cosine_mean", "cosine_p5", "cosine_min", "change", "patch_cosine", "agreement"):
        assert getattr(figures, name) == pytest.approx(1, abs=1e-6), name
    assert figures.kl == pytest.approx(0, abs=1e-9)
    assert figures.saliency_error == 0


def test_the_percentile_sees_what_the_mean_hides() -> None:
    good = answer(1.0, 0.0), answer(1.0, 0.0)
    bad = answer(0.0, 1.0), answer(1.0, 0.0)

    figures = compared(*[good] * 18, bad, bad)

    assert figures.cosine_mean == pytest.approx(0.9)
    assert figures.cosine_p5 == pytest.approx(0, abs=1e-9)
    assert figures.cosine_min == pytest.approx(0, abs=1e-9)


def test_an_answer_that_is_repeated_has_no_share_in_the_change() -> None:
    full = [answer(1.0, 0.0), answer(1.0, 0.1), answer(1.0, 0.3)]

    figures = compared((full[0], full[0]), (full[0], full[1]), (full[2], full[2]))

    # Held: it did not move. Then it moved by .3 where the full model moved by .2, the same way.
    assert figures.change == pytest.approx(0.5)
    assert figures.cosine_mean is not None
    assert figures.cosine_mean > 0.99


def test_a_full_model_that_stands_still_says_nothing_of_change() -> None:
    still = answer(1.0, 2.0)

    assert compared((still, still), (answer(1.0, 2.5), still)).change is None


def test_a_dropped_patch_counts_as_nothing_in_common() -> None:
    full = answer(1.0, patches=torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    ours = answer(1.0, patches=torch.tensor([[2.0, 0.0], [0.0, 0.0]]))

    assert compared((ours, full)).patch_cosine == pytest.approx(0.5)


def test_classes_are_compared_by_the_best_and_by_divergence() -> None:
    full = answer(1.0, scores=torch.tensor([math.log(0.5), math.log(0.5)]))
    ours = answer(1.0, scores=torch.tensor([math.log(0.25), math.log(0.75)]))

    figures = compared((ours, full))

    # Kullback-Leibler of the full model's distribution p from q: sum p log(p / q).
    assert figures.kl == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert figures.agreement == 0


def test_the_error_of_saliency_is_relative_to_its_variance_over_all_frames() -> None:
    flat, half = torch.zeros(2, 2), torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    guess = torch.full((2, 2), 0.25)

    figures = compared(*((answer(1.0, saliency=guess), answer(1.0, saliency=full)) for full in (flat, half)))

    # The best constant (the mean, .25 of all 8 pixels) leaves exactly the variance.
    assert figures.saliency_error == pytest.approx(1.0)
    assert compared((answer(1.0, saliency=guess), answer(1.0, saliency=flat))).saliency_error is None


def test_what_was_not_there_is_unknown() -> None:
    figures = compared((answer(1.0, 0.0), answer(1.0, 0.0)))

    assert (figures.patch_cosine, figures.agreement, figures.kl, figures.saliency_error) == (None,) * 4
    assert compared().cosine_p5 is None


@pytest.mark.parametrize(
    ("target", "share"),
    [(0.85, 0.2), (0.9, 0.2), (0.94, 0.3), (0.98, 0.4), (0.99, 0.7), (1.0, 1.0), (1.1, None)],
)
def test_the_compute_for_a_target_is_interpolated_up_to_the_full_model(
    target: float, share: float | None
) -> None:
    points = [Point(0.4, 0.98), Point(0.2, 0.9)]

    assert compute_for(points, target) == (None if share is None else pytest.approx(share))
    assert compute_for([], target) is None


def test_the_boxes_of_a_detector_agree_where_their_names_and_places_do() -> None:
    person, car = Box(0.1, 0.1, 0.2, 0.4, "person", 0.9), Box(0.5, 0.5, 0.2, 0.2, "car", 0.8)
    fidelity = Fidelity()
    for ours, theirs in (([person], [person, car]), ([], []), ([car], [person])):
        fidelity.add(answer(1.0, 0.0, boxes=ours), answer(1.0, 0.0, boxes=theirs))

    assert fidelity.figures().agreement == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert fidelity.figures().kl is None
