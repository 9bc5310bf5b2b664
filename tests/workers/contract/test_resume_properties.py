"""Design invariant 4, whatever is sent again and wherever a client stops: every result once, in order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vocab.servers import Server
from vocab.connection import connect
from workers.contract.cursor import Cursor
from workers.contract.keys import StreamKeys
from workers.contract.result_log import OutOfOrderError, ResultLog

KEYS = StreamKeys("gate")
numbers = st.integers(0, 10**18 - 1)
entries = st.builds(lambda ms, n: f"{ms}-{n}", numbers, numbers)


@pytest.fixture
def client() -> Any:
    server = Server("valkey")
    yield connect(server.url)
    server.close()


@given(st.builds(Cursor, numbers, entries, entries))
def test_a_cursor_is_read_back_as_it_was_written(cursor: Cursor) -> None:
    assert Cursor.parse(str(cursor)) == cursor


@given(st.one_of(st.text(max_size=40), st.from_regex(r"[\d.\-]{0,40}", fullmatch=True)))
def test_any_text_is_a_cursor_that_means_the_same_or_is_refused(text: str) -> None:
    try:
        cursor = Cursor.parse(text)
    except ValueError:
        return
    assert text.isascii()
    assert Cursor.parse(str(cursor)) == cursor


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 6)), max_size=25),
    st.lists(st.integers(1, 7), max_size=20),
)
def test_results_sent_again_in_pieces_and_read_in_pieces_come_once_and_in_order(
    client: Any, sends: list[tuple[int, int]], reads: list[int]
) -> None:
    client.flushall()
    log, durable = ResultLog(client, "gate", 1000), 0
    for first, count in sends:
        texts = [f"result {frame}" for frame in range(first, first + count)]
        if durable and first > durable:
            with pytest.raises(OutOfOrderError):
                log.append(1, first, texts, {})
        elif first == 0 or durable:
            durable = max(durable, log.append(1, first, texts, {}))
        assert log.next_frame() == durable

    # A client that stops after any number of results and resumes with the last id it saw.
    cursor, seen = Cursor(), []
    for most in [*reads, 1000]:
        resumed = Cursor.parse(str(cursor))
        for entry, fields in client.xrange(KEYS.results, min=f"({resumed.results}", count=most):
            seen.append(fields[b"result"].decode())
            cursor = cursor.with_result(entry.decode())
    assert seen == [f"result {frame}" for frame in range(durable)]
