import threading

import pytest

from pipeline.spreading import readers, spread


def test_what_is_spread_comes_back_in_order_and_from_more_than_one_thread():
    threads = set()
    # Nobody gets past it alone.
    together = threading.Barrier(2, timeout=30)

    def square(number: int) -> int:
        if number in (0, 15):
            together.wait()
        threads.add(threading.get_ident())
        return number * number

    assert spread(square, range(16), threads=2) == [number * number for number in range(16)]
    assert len(threads) == 2


@pytest.mark.parametrize(("count", "threads"), [(64, 1), (5, 4), (0, 4)])
def test_little_is_done_where_it_is_asked_for(count, threads):
    found = spread(lambda _: threading.get_ident(), range(count), threads)
    assert found == [threading.get_ident()] * count


def test_the_first_failure_is_told():
    def refuse(number: int) -> int:
        raise ValueError(number)

    with pytest.raises(ValueError, match="0"):
        spread(refuse, range(32), threads=4)


def test_a_cpu_that_computes_has_no_threads_to_spare():
    assert readers("cpu") == 1
    assert readers("cuda") >= 1
