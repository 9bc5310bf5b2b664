from __future__ import annotations

from pathlib import Path

from vocab.paths import exists, is_file, is_folder


def test_files_and_folders_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert [look(tmp_path / "a") for look in (exists, is_file, is_folder)] == [True, True, False]
    assert [look(str(tmp_path)) for look in (exists, is_file, is_folder)] == [True, False, True]


def test_a_path_that_nothing_can_be_at_is_none(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path / ("a" * 300), Path("a" * 5000), tmp_path / "a\0b"):
        assert [look(path) for look in (exists, is_file, is_folder)] == [False, False, False]
