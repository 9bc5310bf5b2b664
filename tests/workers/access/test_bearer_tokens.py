import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from workers.access.bearer_tokens import BearerTokens, add_token

VWT = str(Path(sys.executable).with_name("vwt"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tokens"


def changed(path: Path, text: str) -> None:
    """Writes the file anew; its time is that of a later moment, however coarse the clock."""
    before = path.stat().st_mtime_ns
    path.write_text(text)
    os.utime(path, ns=(before + 10**9, before + 10**9))


def test_a_token_has_the_role_it_was_made_with_and_others_have_none(path):
    reader, manager = add_token(path, "wall", "read"), add_token(path, "ops", "manage")
    tokens = BearerTokens(path)

    assert tokens.role(reader) == "read"
    assert tokens.role(manager) == "manage"
    for other in (None, "", "wall", reader[:-1], reader + "x", reader.upper(), "\udcff"):
        assert tokens.role(other) is None


def test_the_file_holds_no_token_and_is_its_owners_alone(path):
    token = add_token(path, "wall", "read")

    assert token not in path.read_text()
    assert path.read_text().startswith("wall read sha256:")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_line_is_appended_also_where_the_last_one_does_not_end(path):
    add_token(path, "one", "read")
    path.write_text(path.read_text().rstrip("\n"))

    token = add_token(path, "two", "read")

    assert BearerTokens(path).role(token) == "read"
    assert len(path.read_text().splitlines()) == 2


def test_a_name_is_given_once(path):
    add_token(path, "wall", "read")

    with pytest.raises(UsageError, match="has a token 'wall' already"):
        add_token(path, "wall", "manage")


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "x" * 65, "é"])
def test_a_name_that_would_break_the_file_is_refused(path, name):
    with pytest.raises(UsageError, match="a token cannot be named"):
        add_token(path, name, "read")
    assert not path.exists()


@pytest.mark.parametrize(
    "line",
    [
        "wall read",
        "wall admin sha256:" + "0" * 64,
        "wall read md5:" + "0" * 64,
        "wall read sha256:" + "0" * 63,
        "wall read sha256:" + "g" * 64,
        "secret-token",
    ],
)
def test_a_line_that_is_none_is_named_by_its_number_and_not_quoted(path, line):
    path.write_text(f"# for the wall\n\n{line}\n")
    path.chmod(0o600)

    with pytest.raises(UsageError, match=r"line 3 of the token file .* is none") as refused:
        BearerTokens(path)
    assert line not in str(refused.value)


def test_a_name_that_comes_twice_is_reported(path):
    path.write_text(2 * ("wall read sha256:" + "0" * 64 + "\n"))
    path.chmod(0o600)

    with pytest.raises(UsageError, match=r"line 2 of the token file .* names 'wall' again"):
        BearerTokens(path)


def test_a_file_that_is_not_there_says_how_to_make_one(path):
    with pytest.raises(UsageError, match="No such file or directory; make one with `vwt token"):
        BearerTokens(path)


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_may_write_is_refused(path, mode):
    add_token(path, "wall", "read")
    path.chmod(mode)

    with pytest.raises(UsageError, match=r"others may write to the token file .*: chmod 600"):
        BearerTokens(path)


def test_a_file_that_others_may_read_is_warned_of(path, caplog):
    add_token(path, "wall", "read")
    path.chmod(0o604)

    with caplog.at_level(logging.WARNING):
        BearerTokens(path)

    assert "others may read the token file" in caplog.text


def test_a_change_of_the_file_counts_at_once(path):
    old = add_token(path, "old", "read")
    tokens = BearerTokens(path)
    new = add_token(path, "new", "manage")

    assert tokens.role(new) == "manage"
    assert tokens.role(old) == "read"

    changed(path, path.read_text().splitlines()[1] + "\n")
    assert tokens.role(old) is None
    assert tokens.role(new) == "manage"


def test_a_change_that_cannot_be_read_is_logged_and_leaves_the_tokens_as_they_were(path, caplog):
    token = add_token(path, "wall", "read")
    tokens = BearerTokens(path)

    with caplog.at_level(logging.WARNING):
        changed(path, "half a li")
        assert tokens.role(token) == "read"
        assert tokens.role(token) == "read"

    assert caplog.text.count("line 1 of the token file") == 1


def test_a_file_that_is_gone_lets_nobody_in_until_it_is_back(path):
    token = add_token(path, "wall", "read")
    tokens = BearerTokens(path)

    path.rename(path.with_name("away"))
    assert tokens.role(token) is None
    path.with_name("away").rename(path)
    assert tokens.role(token) == "read"


def test_the_command_prints_the_token_alone_and_once(path):
    done = subprocess.run(
        [VWT, "token", "wall", "--role", "manage", "--file", path], capture_output=True, text=True, check=True
    )

    (token,) = done.stdout.splitlines()
    assert BearerTokens(path).role(token) == "manage"
    assert token not in done.stderr
    assert "added wall (manage)" in done.stderr


def test_the_command_refuses_a_folder_that_is_not_there(tmp_path):
    command = [VWT, "token", "wall", "--file", tmp_path / "none" / "tokens"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stdout == ""
    assert "cannot write the token file" in done.stderr


def test_a_token_file_that_cannot_be_is_refused_in_one_line(tmp_path):
    with pytest.raises(UsageError, match=r"cannot write the token file .*: File name too long"):
        add_token(tmp_path / ("a" * 300), "gate", "manage")
