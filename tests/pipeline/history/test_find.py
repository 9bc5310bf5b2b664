import sys

import numpy as np
import pytest

from pipeline.history import Moment, Things, Wanted, Widths, find, pack, unpack
from pipeline.history.moments import Records, unit, windows
from pipeline.history.nearest import by_numpy, by_usearch, nearest
from pipeline.results import Prediction

WIDTH = 16


def history(vectors: np.ndarray, times: list[float | None], live: bool = False) -> Records:
    """A record per vector; frames are numbered from 0."""
    records = [
        pack(frame + 1, Moment(frame, None if live else time_s, time_s if live else None), showing(vector))
        for frame, (vector, time_s) in enumerate(zip(vectors, times, strict=True))
    ]
    return unpack(b"".join(records), Widths(vectors.shape[1], 0))


def showing(vector: np.ndarray, cells: np.ndarray | None = None) -> Prediction:
    return Prediction("embedding", embedding=vector.tolist(), cells=cells)


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, WIDTH))


def frames(found: list) -> list[int]:
    return [one.moment.frame for one in found]


def test_the_most_alike_comes_first_with_its_cosine() -> None:
    seen = vectors(50)
    query = seen[17] + 0.01
    found = find(history(seen, list(range(50))), Wanted(query), top=3, apart_s=0)
    cosines = seen @ query / np.linalg.norm(seen, axis=1) / np.linalg.norm(query)
    assert frames(found) == np.argsort(-cosines)[:3].tolist()
    assert [one.score for one in found] == pytest.approx(np.sort(cosines)[::-1][:3], abs=1e-3)
    assert found[0].moment == Moment(17, 17.0, None)


def test_of_frames_that_are_near_each_other_in_time_the_best_stands_for_all() -> None:
    seen = np.repeat(vectors(4), 100, axis=0) + vectors(400, 1) * 0.01
    times = [number / 25 for number in range(400)]
    found = find(history(seen, times), Wanted(seen[150]), top=4, apart_s=4.0)
    assert found[0].moment.frame == 150
    moments = sorted(one.moment.pts_s or 0 for one in found)
    assert len(moments) == 4
    assert np.diff(moments).min() >= 4.0


def test_more_frames_are_looked_at_until_enough_of_them_lie_apart() -> None:
    # A thousand frames of one second are the most alike, and only one of them counts.
    seen = np.concatenate([np.tile(vectors(1), (1000, 1)), vectors(3, 1)])
    times = [*np.linspace(0, 1, 1000).tolist(), 10.0, 20.0, 30.0]
    assert len(find(history(seen, times), Wanted(seen[0]), top=4)) == 4


@pytest.mark.parametrize("live", [False, True])
def test_only_moments_of_the_time_asked_for_are_found(live: bool) -> None:
    seen = vectors(20)
    found = find(
        history(seen, list(range(100, 120)), live), Wanted(seen[0]), 20, since_s=105, until_s=109, apart_s=0
    )
    assert sorted(frames(found)) == [5, 6, 7, 8]


def test_a_moment_without_a_time_is_found_where_no_time_is_asked_for() -> None:
    seen = history(vectors(2), [None, None])
    assert frames(find(seen, Wanted(vectors(2)[1]), top=2)) == [1, 0]
    assert find(seen, Wanted(vectors(2)[1]), since_s=0) == []


def test_a_part_is_looked_for_in_all_parts_of_every_moment_and_a_moment_is_found_once() -> None:
    draw = np.random.default_rng(0)
    cells = draw.normal(size=(30, 4, 4, 8))
    records = [
        pack(frame + 1, Moment(frame, None, None), showing(draw.normal(size=WIDTH), own))
        for frame, own in enumerate(cells)
    ]
    seen = unpack(b"".join(records), Widths(WIDTH, 8))
    wanted = cells[11, 2:4, 1:3].mean(axis=(0, 1))
    found = find(seen, Wanted(wanted, part=True), top=30, apart_s=0)
    assert found[0].moment.frame == 11
    assert found[0].score == pytest.approx(1, abs=1e-3)
    assert sorted(frames(found)) == list(range(30))


def test_the_parts_of_a_picture_are_the_means_of_four_cells_each() -> None:
    cells = np.arange(16.0).reshape(4, 4, 1)
    assert windows(cells)[:, 0].tolist() == [2.5, 3.5, 4.5, 6.5, 7.5, 8.5, 10.5, 11.5, 12.5]


def test_nothing_is_found_in_an_empty_history() -> None:
    assert find(unpack(b"", Widths(WIDTH, 0)), Wanted(np.ones(WIDTH))) == []


def test_the_library_finds_what_numpy_finds() -> None:
    pytest.importorskip("usearch")
    seen = history(vectors(6000), [None] * 6000)["vector"]
    query = seen[123].astype(np.float32)
    fast = by_usearch(seen, query, 10)
    assert fast is not None
    assert set(fast.tolist()) == set(by_numpy(seen, query, 10).tolist())
    assert nearest(seen, query, 10)[0][0] == 123


def test_a_long_history_is_searched_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    seen = history(vectors(6000), [None] * 6000)["vector"]
    assert by_usearch(seen, seen[5].astype(np.float32), 1) is None
    assert nearest(seen, seen[5].astype(np.float32), 1)[0].tolist() == [5]


def with_things(counts: list[int], seed: int = 0) -> tuple[Records, np.ndarray]:
    """Moments with so many things each, and the vectors of all of them."""
    draw = np.random.default_rng(seed)
    own = unit(draw.normal(size=(sum(counts), 8)))
    firsts = np.cumsum([0, *counts])
    records = []
    for frame, count in enumerate(counts):
        boxes = np.stack([np.full(4, (at + 1) / 10) for at in range(count)]) if count else np.zeros((0, 4))
        things = Things(boxes.astype(np.float32), own[firsts[frame] : firsts[frame] + count])
        seen = showing(draw.normal(size=WIDTH), draw.normal(size=(4, 4, 6)))
        records.append(pack(frame + 1, Moment(frame, None, None), seen, things))
    return unpack(b"".join(records), Widths(WIDTH, 6, 8)), own


def test_a_thing_is_looked_for_among_things_and_found_where_it_is() -> None:
    seen, own = with_things([1, 0, 3, 2])
    found = find(seen, Wanted(np.ones(6), part=True, thing=own[3]), top=10, apart_s=0)
    assert found[0].moment.frame == 2
    assert found[0].score == pytest.approx(1, abs=1e-3)
    assert found[0].box == pytest.approx((0.3, 0.3, 0.3, 0.3), abs=1e-3)
    # Where nothing changed there is nothing to find, however unlike the others are.
    assert sorted(frames(found)) == [0, 2, 3]
    assert find(with_things([0, 0])[0], Wanted(np.ones(6), part=True, thing=own[3])) == []


def test_of_many_things_the_first_are_kept() -> None:
    seen, own = with_things([12])
    assert find(seen, Wanted(np.ones(6), part=True, thing=own[7]))[0].score == pytest.approx(1, abs=1e-3)
    assert find(seen, Wanted(np.ones(6), part=True, thing=own[8]))[0].score < 0.99


def test_where_no_things_were_kept_the_same_is_looked_for_among_parts() -> None:
    cells = np.random.default_rng(0).normal(size=(2, 4, 4, 6))
    records = [
        pack(frame + 1, Moment(frame, None, None), showing(np.ones(WIDTH), own))
        for frame, own in enumerate(cells)
    ]
    wanted = Wanted(windows(cells[1])[4], part=True, thing=np.ones(8))
    found = find(unpack(b"".join(records), Widths(WIDTH, 6)), wanted, apart_s=0)
    assert (frames(found), found[0].box) == ([1, 0], None)
    assert not Wanted(np.ones(5), part=True).fits(with_things([1])[0])
