from __future__ import annotations

import sys

import psutil
import pytest

from workers.memory import Trimmer


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is the one that keeps it")
def test_what_is_free_between_what_is_in_use_goes_back_when_it_is_due() -> None:
    def used() -> int:
        return psutil.Process().memory_full_info().uss

    # Small enough for the heap; every second one stays, so that nothing goes back by itself.
    blocks = [bytearray(60_000) for _ in range(4000)]
    kept = blocks[1::2]
    del blocks
    before = used()
    trimmer = Trimmer(every_s=3600)
    assert not trimmer.step()
    trimmer.note()
    assert trimmer.step()
    assert used() < before - 60e6
    trimmer.note()
    assert not trimmer.step()
    assert len(kept) == 2000
