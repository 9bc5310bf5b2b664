"""Specs of streams as Redis holds them: sealed with a key of the service, where it has a file of keys.

A sealed spec says in clear only its id and when it was made. A file holds a key (Fernet's) per line. The
first seals, all open: so a new key goes on top, and the old one goes once everything was sealed again.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from vocab.errors import StoreUnavailable
from workers.contract.stream_spec import StreamSpec


class Keys:
    """The keys of a file.

    Raises:
        UsageError: it cannot be read, others may read it, or a line is no key.
    """

    def __init__(self, path: Path) -> None:
        from cryptography.fernet import Fernet, MultiFernet

        try:
            mode = path.stat().st_mode
            lines = path.read_text().split()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise UsageError(
                f"cannot read the key file {path}: {why}; make one with `vwt key --file {path}`"
            ) from None
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise UsageError(f"others may read the key file {path}: chmod 600 {path}")
        try:
            keys = [Fernet(line) for line in lines]
        except ValueError:
            keys = []
        if not keys:
            raise UsageError(
                f"the key file {path} holds no keys, one a line; `vwt key --file {path}` adds one"
            )
        self._first, self._all = keys[0], MultiFernet(keys)

    def seal(self, text: str) -> str:
        """Seals with the first key."""
        return self._first.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str | None:
        """What was sealed; None when no key fits."""
        from cryptography.fernet import InvalidToken

        try:
            return self._all.decrypt(sealed).decode()
        except InvalidToken:
            return None

    def newest(self, sealed: str) -> bool:
        """Whether it was sealed with the first key."""
        from cryptography.fernet import InvalidToken

        try:
            self._first.decrypt(sealed)
        except InvalidToken:
            return False
        return True


_keys: Keys | None = None


def use_keys(path: Path | None) -> None:
    """Has this process seal and open with the keys of a file; None for none.

    Raises:
        UsageError: as of `Keys`.
    """
    global _keys
    _keys = None if path is None else Keys(path)


def add_key(path: Path) -> None:
    """Puts a random key on top of a file, which is made with mode 0600 if missing.

    Raises:
        UsageError: it cannot be read or written.
    """
    from cryptography.fernet import Fernet

    try:
        before = path.read_text() if path.exists() else ""
        new = path.with_name(f"{path.name}.new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{Fernet.generate_key().decode()}\n{before}")
        new.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write the key file {path}: {error.strerror}") from error


def to_text(spec: StreamSpec) -> str:
    """A spec as Redis is to hold it."""
    text = spec.model_dump_json()
    if _keys is None:
        return text
    return json.dumps({"id": spec.id, "created_at": spec.created_at, "sealed": _keys.seal(text)})


def from_text(value: bytes) -> StreamSpec:
    """The spec that Redis holds.

    Raises:
        ValueError: it is none.
        StoreUnavailable: it is sealed, and no key here fits.
    """
    sealed = _sealed(value)
    if sealed is None:
        return StreamSpec.model_validate_json(value)
    text = None if _keys is None else _keys.open(sealed)
    if text is None:
        raise StoreUnavailable(
            "the streams are sealed with a key that is not here; start the service with the --key-file they "
            "were sealed with"
        )
    return StreamSpec.model_validate_json(text)


def is_current(value: bytes) -> bool:
    """Whether it is sealed as it would be now."""
    sealed = _sealed(value)
    return _keys is None or (sealed is not None and _keys.newest(sealed))


def _sealed(value: bytes) -> str | None:
    known: Any = json.loads(value)
    return known.get("sealed") if isinstance(known, dict) else None
