"""Few different shapes: oneDNN makes code for each, .7 ms a matrix product, and keeps the latest 1024."""

from __future__ import annotations


def rounded(count: int) -> int:
    """The next of few counts: multiples of 8, from 256 on of a sixteenth of the power of two below.

    Args:
        count: of rows that are multiplied; 0 stays 0.
    """
    step = max(8, 1 << count.bit_length() >> 5)
    return -(-count // step) * step
