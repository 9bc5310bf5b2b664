from dataclasses import replace

from pipeline.results import Energy
from workers.contract.stream_status import StreamStatus
from workers.inference.sums import Sums

HALF = Energy(0.5, 0.25, "nvml", settled=True)


def added(sums, *energies):
    for energy in energies:
        sums.add(energy)
    return sums.energy_fields()


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
    status = StreamStatus(next_frame=7, tokens_full=70, tokens_kept=30, dropped={"late": 2})
    status = replace(status, **added(Sums(), HALF))
    assert Sums.of(status).fields() == {
        "tokens_full": 70,
        "tokens_kept": 30,
        "dropped": {"late": 2},
        **added(Sums(), HALF),
    }
    assert added(Sums.of(status), HALF)["metered_frames"] == 2
