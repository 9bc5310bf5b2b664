import time
from dataclasses import replace

import pytest

from pipeline.results import Energy
from tests.pipeline.outputs.examples import a_result
from workers.contract.bill import day_of
from workers.contract.stream_status import StreamStatus, to_fields
from workers.inference.sums import Sums

HALF = Energy(0.5, 0.25, "nvml", settled=True)


def added(sums, *energies):
    for energy in energies:
        sums.add(energy)
    fields = sums.energy_fields()
    return {name: fields[name] for name in ("joules", "above_idle_joules", "metered_frames", "energy_method")}


def in_joules(value):
    return Energy(value, None, "nvml", settled=True)


def test_joules_add_up_with_the_number_of_frames_they_are_of():
    unknown = Energy(None, None, "nvml", reason="not yet")
    assert added(Sums(), HALF, unknown, HALF) == {
        "joules": 1.0,
        "above_idle_joules": 0.5,
        "metered_frames": 2,
        "energy_method": "nvml",
    }


def test_unknown_energy_is_no_zero():
    fields = added(Sums(), Energy(reason="no meter"))
    assert fields == {
        "joules": None,
        "above_idle_joules": None,
        "metered_frames": 0,
        "energy_method": "none",
    }


def test_joules_of_different_methods_are_not_added_up():
    fields = added(Sums(), HALF, replace(HALF, joules=3.0, above_idle_joules=None, method="estimate"))
    assert fields == {
        "joules": 3.0,
        "above_idle_joules": None,
        "metered_frames": 1,
        "energy_method": "estimate",
    }


def test_energy_that_was_known_stays_while_nothing_is_metered():
    assert added(Sums(), HALF, Energy(reason="the meter went away"))["energy_method"] == "nvml"


def test_energy_above_idle_never_falls():
    assert added(Sums(), HALF, replace(HALF, above_idle_joules=-0.1))["above_idle_joules"] == 0.25


def test_sums_go_on_where_another_replica_left_off():
    first = Sums().plus(
        [
            a_result(0, energy=HALF, dropped={"late": 2}),
            a_result(1, tokenizer="recall", decision="full", tokens_kept=256, share=1.0, energy=HALF),
        ],
        "2026-11-26",
    )
    status = StreamStatus.from_hash(
        {key.encode(): value.encode() for key, value in to_fields({"next_frame": 2} | first.fields()).items()}
    )

    second = Sums.of(status)

    assert second == first
    third = second.plus([a_result(2, energy=HALF, tokenizer="recall", decision="hold")], "2026-11-26")
    assert third.fields() == {
        "tokens_full": 3 * 256,
        "tokens_kept": 128 + 256 + 128,
        "warm_up_frames": 1,
        "warm_up_tokens": 256,
        "decisions": {"full": 1, "hold": 1},
        "dropped": {"late": 2},
        "joules": 1.5,
        "above_idle_joules": 0.75,
        "metered_frames": 3,
        "energy_method": "nvml",
        "day": "2026-11-26",
        "day_energy": {"nvml": {"frames": 3, "joules": 1.5, "saved_joules": 0.0}},
        "full_joules": [0.5, 0.5],
        "full_of": "a-model None None 256",
        "saved_joules": 0.0,
    }


def test_results_that_are_durable_already_do_not_count_again():
    sums = Sums().plus([a_result(0, energy=HALF)])

    assert sums.plus([a_result(0, energy=HALF)]) == sums


def test_frames_without_words_are_the_warm_up_and_what_the_others_saved_is_measured_against_them():
    warm = [a_result(number, energy=in_joules(2.0)) for number in range(3)]
    steady = [a_result(number, vocab_version=1, energy=in_joules(0.5)) for number in range(3, 7)]

    sums = Sums().plus(warm).plus(steady)

    assert (sums.warm_up_frames, sums.warm_up_tokens) == (3, 3 * 256)
    assert sums.full_joules == [2.0] * 3
    assert sums.saved_joules == pytest.approx(4 * 1.5)


def test_a_stream_that_recalls_counts_decisions_and_is_measured_against_its_full_frames():
    answers = [("full", 9.0), ("hold", 0.1), ("full", 2.0), ("recall", 0.5), ("recall", 0.7)]

    sums = Sums().plus(
        [
            a_result(
                number,
                tokenizer="recall",
                decision=decision,
                tokens_kept=256 if decision == "full" else 64,
                share=1.0 if decision == "full" else 0.4,
                energy=in_joules(joules),
            )
            for number, (decision, joules) in enumerate(answers)
        ]
    )

    assert sums.decisions == {"full": 2, "hold": 1, "recall": 2}
    assert sums.full_joules == [2.0]
    assert sums.saved_joules == pytest.approx(1.5 + 1.3)
    assert sums.warm_up_frames == 0


def test_more_than_was_saved_is_a_loss():
    sums = Sums().plus([a_result(0, energy=in_joules(2.0))])

    assert sums.plus([a_result(1, vocab_version=1, energy=in_joules(3.0))]).saved_joules == -1.0


@pytest.mark.parametrize("other", [{"model": "another"}, {"tokens_full": 192}], ids=["model", "input"])
def test_what_another_model_or_input_cost_in_full_is_nothing_to_be_measured_against(other):
    sums = Sums().plus([a_result(0, energy=in_joules(2.0)), a_result(1, energy=in_joules(2.0))])

    changed = sums.plus([a_result(2, vocab_version=1, energy=in_joules(9.0), **other)])

    assert changed.full_joules == []
    assert changed.saved_joules == sums.saved_joules == 0.0


def test_each_day_begins_with_nothing_and_a_slow_clock_brings_none_back():
    sums = Sums()
    for joules, day in ((1.0, "2026-11-30"), (2.0, "2026-12-01"), (4.0, "2026-11-30")):
        sums.add(in_joules(joules), day=day)

    assert sums.joules == 7.0
    assert sums.day == "2026-12-01"
    assert sums.day_energy == {"nvml": {"frames": 2, "joules": 6.0, "saved_joules": None}}


def test_a_day_keeps_joules_of_different_methods_apart():
    sums = Sums()
    sums.add(in_joules(2.0), whole=1.0, day="2026-11-30")
    sums.add(in_joules(0.5), day="2026-11-30")
    sums.add(replace(HALF, joules=9.0, method="estimate"), day="2026-11-30")

    assert sums.day_energy == {
        "nvml": {"frames": 2, "joules": 2.5, "saved_joules": 1.5},
        "estimate": {"frames": 1, "joules": 9.0, "saved_joules": None},
    }


def test_without_a_day_it_is_today():
    before = day_of(time.time())
    sums = Sums().plus([a_result(0, energy=HALF)])

    assert before <= sums.day <= day_of(time.time())


def test_only_the_latest_full_frames_are_remembered():
    sums = Sums().plus([a_result(number, energy=in_joules(float(number))) for number in range(100)])

    assert sums.full_joules == [float(number) for number in range(68, 100)]
