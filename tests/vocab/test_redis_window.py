import threading
import zlib

import numpy as np
import pytest

from vocab.connection import connect
from vocab.redis_window import RedisWindow
from vocab.window import WindowOptions

KEY = "vwt:{cam}:window"
OPTIONS = WindowOptions(patches_per_frame=4, max_patches=400)


def frame(value: int, patch_size: int = 4) -> np.ndarray:
    return np.full((4, 3 * patch_size**2), value, np.uint8)


def test_a_window_is_one_stream_under_the_key_of_the_design_with_one_entry_per_frame(client):
    window = RedisWindow(client, "cam", 4, OPTIONS)
    for value in range(3):
        window.add(frame(value))

    assert client.keys() == [KEY.encode()]
    assert client.xlen(KEY) == 3


def test_the_server_never_holds_more_than_the_limits(client):
    window = RedisWindow(client, "cam", 4, OPTIONS)
    for value in range(130):
        window.add(frame(value))
        assert client.xlen(KEY) <= 100

    assert np.array_equal(window.read()[::4, 0], np.arange(30, 130))


def test_many_streams_and_threads_may_write_one_window(server):
    def write(value: int) -> None:
        window = RedisWindow(connect(server.url), "cam", 4, OPTIONS)
        for _ in range(20):
            window.add(frame(value))

    threads = [threading.Thread(target=write, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    window = RedisWindow(connect(server.url), "cam", 4, OPTIONS)
    patches = window.read()
    assert np.array_equal(np.bincount(patches[::4, 0]), [20] * 4)
    assert (patches == patches[:, :1]).all()
    assert window.size() == 320


def test_scopes_do_not_see_each_other(client):
    RedisWindow(client, "cam", 4, OPTIONS).add(frame(1))

    assert RedisWindow(client, "other", 4, OPTIONS).size() == 0


def test_a_reader_with_smaller_limits_reads_the_newest(client):
    writer = RedisWindow(client, "cam", 4, OPTIONS)
    for value in range(10):
        writer.add(frame(value))

    reader = RedisWindow(client, "cam", 4, WindowOptions(patches_per_frame=4, max_patches=12))

    assert np.array_equal(reader.read()[::4, 0], [7, 8, 9])
    assert reader.size() == 12


def test_a_window_larger_than_a_page_is_read_whole(client):
    window = RedisWindow(client, "cam", 16)
    rows = np.random.default_rng(0).integers(0, 256, (6400, 768), np.uint8)
    window.add(rows)

    assert np.array_equal(window.read(), rows)


def test_an_unused_window_expires_and_a_write_keeps_it(client):
    window = RedisWindow(client, "cam", 4, OPTIONS, unused_s=100)
    window.add(frame(1))
    client.pexpire(KEY, 1000)

    window.add(frame(2))

    assert 99_000 < client.pttl(KEY) <= 100_000


def test_patches_of_another_size_are_left_out_and_counted(client):
    window = RedisWindow(client, "cam", 4, OPTIONS)
    window.add(frame(1))
    RedisWindow(client, "cam", 8, WindowOptions(patches_per_frame=4)).add(frame(2, patch_size=8))
    window.add(frame(3))

    assert np.array_equal(window.read()[::4, 0], [1, 3])
    assert window.skipped == 1


def spoilt(change) -> dict:
    pixels = frame(9).tobytes()
    return {b"size": b"4", b"count": b"4", b"crc": b"%d" % zlib.crc32(pixels), b"rgb": pixels, **change}


@pytest.mark.parametrize(
    "entry",
    [
        {b"hello": b"world"},
        spoilt({b"rgb": frame(8).tobytes()}),
        spoilt({b"rgb": frame(9).tobytes()[:-1]}),
        spoilt({b"rgb": frame(9).tobytes()[:48]}),
        spoilt({b"rgb": b""}),
        spoilt({b"count": b"3"}),
        spoilt({b"size": b"\xff\x00"}),
        spoilt({b"crc": b"0"}),
        spoilt({b"more": b"fields"}),
    ],
)
def test_damaged_and_foreign_entries_are_left_out_and_counted(client, entry):
    window = RedisWindow(client, "cam", 4, OPTIONS)
    window.add(frame(1))
    client.xadd(KEY, entry)
    window.add(frame(3))

    assert np.array_equal(window.read()[::4, 0], [1, 3])
    assert window.skipped == 1


def test_the_example_of_a_spoilt_entry_is_whole_before_it_is_spoilt(client):
    window = RedisWindow(client, "cam", 4, OPTIONS)
    client.xadd(KEY, spoilt({}))

    assert np.array_equal(window.read(), frame(9))
