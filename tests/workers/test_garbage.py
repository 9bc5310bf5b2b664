"""Garbage is left alone while things are loaded, and collected from then on."""

import gc

import pytest

from workers.garbage import collected_later


@pytest.fixture(autouse=True)
def _as_before():
    yield
    gc.enable()


def test_garbage_is_collected_once_all_is_loaded():
    with collected_later() as collect:
        assert not gc.isenabled()
        collect()

        assert gc.isenabled()
        # Frozen objects outlive what they need at the end of the process, which then crashes now and then.
        assert gc.get_freeze_count() == 0


def test_garbage_is_collected_after_a_failure_too():
    with pytest.raises(OSError, match="no file"), collected_later():
        raise OSError("no file")

    assert gc.isenabled()


def test_who_collects_nothing_is_left_alone():
    gc.disable()

    with collected_later() as collect:
        collect()

    assert not gc.isenabled()
