import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.history import HistoryFile, Moment, Origin, Things, Widths, moments, read_history
from pipeline.history.history_file import histories
from pipeline.results import Prediction

ORIGIN = Origin("gate", "a-model", weights="/weights.safetensors", size="448")
# Of four numbers; and a file with room for ten behind its head.
FOUR = Widths(4, 0)
RECORD = 8 + 8 + 8 + 8 + 2 * 4 + 4
TEN = 4096 + 10 * RECORD


def showing(*vector: float) -> Prediction:
    return Prediction("embedding", embedding=vector)


def write(folder: Path, frames: range, origin: Origin = ORIGIN, most: int = TEN, anew: bool = False) -> None:
    with HistoryFile(folder, origin, FOUR, most, anew) as file:
        for frame in frames:
            file.add(Moment(frame, frame / 2, None), showing(1.0, frame, 0, 0))


HEAD = (
    b'{"format": "vwt-history/1", "widths": {"frame": %s, "part": 0}, "stream": "a", "model": "b", '
    b'"weights": null, "names": null, "fit": null, "size": null}'
)


def kept(folder: Path, stream: str = "gate") -> list[int]:
    return [moment.frame for moment in moments(read_history(folder / f"{stream}.history")[1])]


def test_what_was_written_is_there_again_with_whose_it_is(tmp_path: Path) -> None:
    with HistoryFile(tmp_path / "made", ORIGIN, FOUR) as file:
        file.add(Moment(7, 3.5, None), showing(3.0, 4.0, 0, 0))
        file.add(Moment(9, None, 1764194638.25), showing(0, 0, 0, 2.0))
    origin, records = read_history(tmp_path / "made" / "gate.history")
    assert origin == ORIGIN
    assert moments(records) == [Moment(7, 3.5, None), Moment(9, None, 1764194638.25)]
    np.testing.assert_allclose(records["vector"], [[0.6, 0.8, 0, 0], [0, 0, 0, 1]], atol=1e-3)


def test_the_oldest_go_when_the_file_is_full_and_it_never_grows_beyond(tmp_path: Path) -> None:
    write(tmp_path, range(25))
    assert kept(tmp_path) == list(range(15, 25))
    assert (tmp_path / "gate.history").stat().st_size == TEN


def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    write(tmp_path, range(7))
    write(tmp_path, range(7, 14))
    assert kept(tmp_path) == list(range(4, 14))


def test_with_less_room_than_before_the_newest_stay(tmp_path: Path) -> None:
    write(tmp_path, range(10))
    write(tmp_path, range(10, 11), most=4096 + 3 * RECORD)
    assert kept(tmp_path) == [8, 9, 10]


def test_begun_anew_what_was_there_is_gone(tmp_path: Path) -> None:
    write(tmp_path, range(7))
    write(tmp_path, range(2), replace(ORIGIN, model="another"), anew=True)
    assert kept(tmp_path) == [0, 1]


def test_a_record_that_was_half_written_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, range(5))
    with (tmp_path / "gate.history").open("r+b") as file:
        file.seek(4096 + 2 * RECORD + 33)
        file.write(b"\xff\xff")
    assert kept(tmp_path) == [0, 1, 3, 4]


@pytest.mark.parametrize(
    ("moment", "vector"),
    [
        (Moment(1, math.inf, None), 1.0),
        (Moment(1, 1e300, None), 1.0),
        (Moment(1, None, -1e14), 1.0),
        (Moment(1, 1.0, None), math.nan),
    ],
)
def test_what_is_no_number_or_no_time_is_left_out(tmp_path: Path, moment: Moment, vector: float) -> None:
    with HistoryFile(tmp_path, ORIGIN, FOUR) as file:
        file.add(Moment(0, 0.0, None), showing(1.0, 0, 0, 0))
        file.add(moment, showing(vector, 0, 0, 0))
    assert kept(tmp_path) == [0]


def test_a_history_cut_short_keeps_what_is_whole(tmp_path: Path) -> None:
    write(tmp_path, range(5))
    os.truncate(tmp_path / "gate.history", 4096 + 3 * RECORD + 5)
    assert kept(tmp_path) == [0, 1, 2]


def test_embeddings_of_another_model_are_not_mixed_in(tmp_path: Path) -> None:
    write(tmp_path, range(5))
    with pytest.raises(UsageError, match="made with a-model, which cannot be compared with another"):
        write(tmp_path, range(5), replace(ORIGIN, model="another"))
    assert kept(tmp_path) == list(range(5))


def test_a_model_that_now_sees_parts_is_not_mixed_with_what_it_saw_without(tmp_path: Path) -> None:
    write(tmp_path, range(5))
    with pytest.raises(UsageError, match="cannot be compared"):
        HistoryFile(tmp_path, ORIGIN, Widths(4, 8))


def test_a_history_has_one_writer(tmp_path: Path) -> None:
    with (
        HistoryFile(tmp_path, ORIGIN, FOUR),
        pytest.raises(UsageError, match="being written by another run"),
    ):
        HistoryFile(tmp_path, ORIGIN, FOUR)
    write(tmp_path, range(1))


def test_it_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    with HistoryFile(tmp_path, ORIGIN, FOUR) as file:
        file.add(Moment(3, None, None), showing(1, 1, 1, 1))
        assert kept(tmp_path) == [3]


def test_any_name_of_a_stream_is_a_file_in_the_folder(tmp_path: Path) -> None:
    write(tmp_path, range(1), replace(ORIGIN, stream="../yard/gate 1"))
    (path,) = histories(tmp_path)
    assert path.parent == tmp_path
    assert read_history(path)[0].stream == "../yard/gate 1"


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"{}", b"[1]".ljust(4096), b"null", b"\xff" * 5000, b'{"format": "vwt-history/1"}'),
        *(HEAD % width for width in (b"1.5", b"-1", b'"a"', b"null", b"true")),
        *((HEAD % b"4").replace(b'"b"', model) for model in (b"[1]", b"{}", b"null", b'"\\ud800"')),
        (HEAD % b"4").replace(b'"size": null', b'"size": [3]'),
    ],
)
def test_what_is_no_history_is_said_to_be_none(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "gate.history"
    path.write_bytes(data)
    with pytest.raises(UsageError, match="is no history"):
        read_history(path)


def test_a_folder_without_histories_says_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="vwt run SOURCE --index"):
        histories(tmp_path / "nowhere")


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write the history"):
        HistoryFile(tmp_path / "file", ORIGIN, FOUR)


def test_a_history_goes_on_with_things_and_without_them_again(tmp_path: Path) -> None:
    write(tmp_path, range(2))
    thing = Things(np.full((1, 4), 0.25, np.float32), np.array([[0.6, 0.8, 0]], np.float32))
    with HistoryFile(tmp_path, ORIGIN, replace(FOUR, thing=3)) as file:
        file.add(Moment(2, 1.0, None), showing(1.0, 2, 0, 0), thing)
    _, records = read_history(tmp_path / "gate.history")
    assert records["frame"].tolist() == [0, 1, 2]
    assert records["boxes"][:, 0, 0].tolist() == [0, 0, 0.25]
    np.testing.assert_allclose(records["things"][2, 0], [0.6, 0.8, 0], atol=1e-3)
    assert not records["things"][2, 1:].any()
    write(tmp_path, range(3, 5))
    _, records = read_history(tmp_path / "gate.history")
    assert records["frame"].tolist() == [0, 1, 2, 3, 4]
    assert "things" not in records.dtype.names


def test_things_of_another_width_are_not_compared(tmp_path: Path) -> None:
    thing = Things(np.ones((1, 4), np.float32), np.ones((1, 3), np.float32))
    with HistoryFile(tmp_path, ORIGIN, replace(FOUR, thing=3)) as file:
        file.add(Moment(0, 0.0, None), showing(1.0, 0, 0, 0), thing)
    with pytest.raises(UsageError, match="cannot be compared"):
        HistoryFile(tmp_path, ORIGIN, replace(FOUR, thing=4))
