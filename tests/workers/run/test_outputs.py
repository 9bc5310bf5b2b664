import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UsageError
from pipeline.sources import parse_source
from workers.run.options import RunOptions
from workers.run.outputs import check_outputs

OPTIONS = {"out": "--out", "annotate": "--annotate", "json_summary": "--json-summary"}


def refusal(**options: Any) -> str:
    with pytest.raises(UsageError) as error:
        check_outputs(RunOptions(**{"source": "sample:bikes", **options}))
    return str(error.value)


@pytest.mark.parametrize("field", OPTIONS)
def test_a_folder_that_is_not_there_is_to_be_created(field: str, tmp_path: Path) -> None:
    line = refusal(**{field: str(tmp_path / "none" / "file")})
    assert f"cannot write {OPTIONS[field]}" in line
    assert f"create the folder {tmp_path / 'none'} first" in line


def test_a_folder_is_no_output(tmp_path: Path) -> None:
    assert "Is a directory" in refusal(out=str(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_what_may_not_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    assert "Permission denied" in refusal(json_summary=str(tmp_path / "summary.json"))


@pytest.mark.parametrize("field", OPTIONS)
def test_an_output_never_replaces_the_source(field: str, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"precious")
    (tmp_path / "link.mp4").symlink_to(clip)
    (tmp_path / "hard.mp4").hardlink_to(clip)
    for name in ("link.mp4", "hard.mp4"):
        assert "is SOURCE too" in refusal(source=str(clip), **{field: str(tmp_path / name)})
    assert clip.read_bytes() == b"precious"


def test_a_sample_clip_is_a_source_too() -> None:
    assert "is SOURCE too" in refusal(annotate=parse_source("sample:bikes").location)


@pytest.mark.parametrize("path", ["-", "results"])
def test_two_outputs_cannot_share_a_file(path: str) -> None:
    assert "is --out too" in refusal(out=path, json_summary=path)


def test_what_can_be_written_is_left_as_it_is(tmp_path: Path) -> None:
    old, new = tmp_path / "old.jsonl", tmp_path / "new.mp4"
    old.write_text("earlier results")
    check_outputs(RunOptions("rtsp://camera/1", out=str(old), annotate=str(new), json_summary="-"))
    assert old.read_text() == "earlier results"
    assert not new.exists()


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("out", "x.csv"),
        ("out", "x.mp4"),
        ("annotate", "a.gif"),
        ("annotate", "a.mkv"),
        ("json_summary", "s.yaml"),
    ],
)
def test_a_name_that_promises_another_format_is_refused_in_one_line(
    field: str, name: str, tmp_path: Path
) -> None:
    line = refusal(**{field: str(tmp_path / name)})
    assert line.startswith(
        f"{OPTIONS[field]} writes JSON" if field != "annotate" else "--annotate writes MP4"
    )
    assert f"not {Path(name).suffix}" in line
    assert not (tmp_path / name).exists()


def test_names_that_promise_nothing_else_are_taken(tmp_path: Path) -> None:
    for out in ("-", "/dev/null", str(tmp_path / "x.JSONL"), str(tmp_path / "x"), str(tmp_path / "x.ndjson")):
        check_outputs(RunOptions(source="sample:bikes", out=out, annotate=str(tmp_path / "a.mp4")))
