"""Warm-up and steady state apart, and the saving between them."""

from collections.abc import Sequence

import pytest

from pipeline.results import Energy
from pipeline.stats import RunStats
from tests.pipeline.outputs.examples import a_result


def run(
    full: Sequence[float | None],
    steady: Sequence[float | None],
    tokenizer: str = "inter",
    settled: bool = True,
) -> RunStats:
    """A run whose first frames had no words, with the joules of each frame."""
    stats = RunStats()
    for frame, joules in enumerate([*full, *steady]):
        warm = frame < len(full)
        stats.add(
            a_result(
                frame,
                tokenizer=tokenizer,
                vocab_version=None if warm else 1,
                tokens_kept=256 if warm else 64,
                share=1.0 if warm else 0.4,
                energy=Energy(joules, method="rapl", settled=settled),
            )
        )
    return stats


def test_frames_without_words_are_kept_apart_from_the_others() -> None:
    stats = run([2.0] * 4, [1.0] * 6)

    assert (stats.warm_up.frames, stats.steady.frames) == (4, 6)
    assert (stats.warm_up.kept_share, stats.steady.kept_share) == (1.0, 0.25)
    assert (stats.warm_up.share, stats.steady.share) == (1.0, pytest.approx(0.4))
    # Over all of the run, as before.
    assert stats.kept_share == pytest.approx((4 * 256 + 6 * 64) / (10 * 256))


def test_the_saving_is_that_of_steady_frames_against_the_median_full_one() -> None:
    saving = run([2.0, 2.0, 40.0], [0.5, 0.8, 1.0, 1.2, 9.0]).saving()

    assert saving.mean == pytest.approx(1 - 2.5 / 2, abs=0.01)
    assert saving.median == pytest.approx(0.5, abs=0.01)
    assert saving.least == pytest.approx(0.4, abs=0.02)
    assert saving.most == pytest.approx(0.6, abs=0.02)
    assert saving.reason is None


def test_what_costs_more_is_no_saving() -> None:
    median = run([1.0] * 3, [1.5] * 3).saving().median

    assert median == pytest.approx(-0.5, abs=0.02)


def recalled(*frames: tuple[str, float, float], settled: bool = True) -> RunStats:
    """A run of a stream that recalls: decision, share and joules of each frame."""
    stats = RunStats()
    for number, (decision, share, joules) in enumerate(frames):
        energy = Energy(joules, method="rapl", settled=settled)
        kept = 256 if decision in ("full", "merged") else round(256 * share)
        facts = {"decision": decision, "share": share, "tokens_kept": kept, "energy": energy}
        stats.add(a_result(number, tokenizer="recall", **facts))
    return stats


AUDITED = (
    ("full", 1.0, 9.0),  # the first, which pays for what is cold
    ("hold", 0.0, 0.1),
    ("full", 1.0, 2.0),
    ("hold", 0.0, 0.1),
    ("full", 1.4, 2.8),  # recalled, then audited
    ("merged", 0.7, 0.8),
)


def test_a_stream_that_recalls_is_measured_against_the_frames_it_ran_in_full() -> None:
    stats = recalled(*AUDITED)

    assert stats.warm_up.frames == 0
    assert (stats.in_full.frames, stats.in_full.joules(0.5)) == (1, pytest.approx(2.0, rel=0.01))
    # Audits are part of what it costs.
    assert stats.steady.frames == 6
    assert stats.saving().mean == pytest.approx(1 - 14.8 / 6 / 2, abs=0.01)


def test_what_ran_in_full_and_settles_late_is_measured_against_as_well() -> None:
    stats = recalled(*AUDITED, settled=False)
    for number in range(6):
        stats.energy(number, Energy(4.0, method="rapl", settled=True))

    assert stats.in_full.joules(0.5) == pytest.approx(4.0, rel=0.01)
    assert stats.saving().mean == pytest.approx(0, abs=0.01)


def test_a_short_run_that_recalls_has_nothing_to_be_measured_against() -> None:
    assert "no frame of this run ran in full" in str(recalled(*AUDITED[:2]).saving().reason)


def test_figures_that_settle_late_count_in_the_phase_of_their_frame() -> None:
    stats = run([9.0] * 2, [9.0] * 2, settled=False)
    for frame, joules in enumerate([2.0, 2.0, 1.0, 1.0]):
        stats.energy(frame, Energy(joules, method="rapl", settled=True))

    assert stats.warm_up.joules(0.5) == pytest.approx(2.0, rel=0.01)
    assert stats.steady.joules(0.5) == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize(
    ("stats", "reason"),
    [
        (run([], [1.0] * 3), "no frame of this run ran in full"),
        (run([1.0] * 3, []), "no frame ran after the warm-up"),
        (run([None] * 3, [None] * 3), "the energy of a frame is not known"),
    ],
)
def test_a_saving_that_was_not_measured_is_null_with_the_reason(stats: RunStats, reason: str) -> None:
    told = stats.to_dict()["saving"]

    assert told["median"] is None
    assert reason in told["reason"]


def test_tokenizers_that_learn_no_words_have_no_warm_up() -> None:
    stats = run([1.0] * 3, [], tokenizer="full")

    assert (stats.warm_up.frames, stats.steady.frames) == (0, 3)
