import os
import sys
import threading

import pytest
import torch

from vocab.background import one_core, step_back


def in_thread(call):
    """Runs `call` in a thread of its own and returns what it gave."""
    given = []
    thread = threading.Thread(target=lambda: given.append(call()))
    thread.start()
    thread.join()
    return given[0]


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_one_core_holds_in_the_calling_thread_only():
    def inside():
        with one_core():
            return torch.get_num_threads(), in_thread(torch.get_num_threads)

    assert in_thread(inside) == (1, 3)
    assert torch.get_num_threads() == 3


def test_one_core_ends_with_its_block_even_if_that_fails():
    with pytest.raises(RuntimeError), one_core():
        torch.ones(2) @ torch.ones(3)

    assert torch.get_num_threads() == 3


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux only")
def test_a_thread_that_steps_back_leaves_the_priority_of_others():
    def priority():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def stepped_back():
        step_back()
        return priority()

    before = priority()

    assert in_thread(stepped_back) == 19
    assert priority() == before
