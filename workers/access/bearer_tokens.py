"""Bearer tokens: a file with one line per token, which holds only their hashes."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.errors import UsageError
from vocab.paths import exists

Role = Literal["read", "manage"]

_LINE = re.compile(r"(?P<name>[A-Za-z0-9_.-]{1,64}) (?P<role>read|manage) sha256:(?P<hash>[0-9a-f]{64})")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    role: Role
    digest: str


_Version = tuple[int, int, int]


class BearerTokens:
    """The tokens of a file, read again when it changes. Safe from any thread.

    A change that cannot be read is logged, and the tokens before it count on: an editor may be half through.
    A file that is gone holds no tokens.

    Args:
        path: of the file.

    Raises:
        UsageError: it cannot be read, a line is none, or anybody may write to it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._version = _version(path)
        self._entries = _read(path)

    def role(self, bearer: str | None) -> Role | None:
        """What the holder of a token may do; None for an unknown one. Takes as long for every token."""
        digest = _digest(bearer or "")
        found: Role | None = None
        for entry in self._current():
            if hmac.compare_digest(entry.digest, digest):
                found = entry.role
        return found

    def _current(self) -> tuple[_Entry, ...]:
        version = _version(self._path)
        with self._lock:
            if version != self._version:
                self._version = version
                if version is None:
                    _log.warning("the token file %s is gone: nobody is let in until it is back", self._path)
                    self._entries = ()
                else:
                    self._reload()
            return self._entries

    def _reload(self) -> None:
        try:
            self._entries = _read(self._path)
        except UsageError as error:
            _log.warning("%s; the tokens read before count on", error)


def add_token(path: Path, name: str, role: Role) -> str:
    """Makes a random token and appends its line to the file, which is made with mode 0600 if missing.

    Returns:
        The token, which is kept nowhere.

    Raises:
        UsageError: the name cannot be one or is taken, or the file cannot be read or written.
    """
    if exists(path) and any(entry.name == name for entry in _read(path)):
        raise UsageError(f"{path} has a token {name!r} already: give another name, or delete its line first")
    # The prefix lets scanners for leaked secrets find it.
    token = f"vwt_{secrets.token_urlsafe(32)}"
    line = f"{name} {role} sha256:{_digest(token)}"
    if _LINE.fullmatch(line) is None:
        raise UsageError(f"a token cannot be named {name!r}: use 1 to 64 of A-Z a-z 0-9 _ . -")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            end = file.seek(0, os.SEEK_END)
            if end:
                file.seek(end - 1)
                line = line if file.read(1) == b"\n" else f"\n{line}"
            file.write(f"{line}\n".encode())
    except OSError as error:
        raise UsageError(f"cannot write the token file {path}: {error.strerror}") from error
    return token


def _digest(token: str) -> str:
    # Tokens are random and long, so a plain hash cannot be searched.
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _version(path: Path) -> _Version | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path) -> tuple[_Entry, ...]:
    try:
        mode = path.stat().st_mode
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(
            f"cannot read the token file {path}: {why}; make one with `vwt token NAME --file {path}`"
        ) from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(
            f"others may write to the token file {path}, and let themselves in: chmod 600 {path}"
        )
    if mode & stat.S_IROTH:
        _log.warning("others may read the token file %s (it holds only hashes): chmod 600 %s", path, path)
    entries: dict[str, _Entry] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(" ".join(line.split()))
        if match is None:
            raise UsageError(
                f"line {number} of the token file {path} is none: it must read NAME read|manage sha256:HEX, "
                "as `vwt token` writes it"
            )
        if match["name"] in entries:
            raise UsageError(f"line {number} of the token file {path} names {match['name']!r} again")
        role: Role = "manage" if match["role"] == "manage" else "read"
        entries[match["name"]] = _Entry(match["name"], role, match["hash"])
    return tuple(entries.values())
