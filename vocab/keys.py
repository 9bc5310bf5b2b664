"""The Redis keys of a scope."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vocab.errors import VocabularyError


@dataclass(frozen=True, slots=True)
class ScopeKeys:
    """Names of the keys; the braces are a hash tag, so a Redis Cluster keeps a scope's keys together.

    Attributes:
        scope: a stream, or a named group of streams that share words.

    Raises:
        VocabularyError: the scope's name would not stay one hash tag, or cannot be shown.
    """

    scope: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[^{}\s]{1,200}", self.scope) or not self.scope.isprintable():
            raise VocabularyError(
                f"no name for a scope: {self.scope!r:.60}; use 1 to 200 characters without braces or spaces"
            )

    @property
    def window(self) -> str:
        """Stream of sampled patches."""
        return f"vwt:{{{self.scope}}}:window"

    @property
    def current(self) -> str:
        """The version to use."""
        return f"vwt:{{{self.scope}}}:vocab:current"

    @property
    def lease(self) -> str:
        """Who may publish, while it lasts."""
        return f"vwt:{{{self.scope}}}:vocab:lease"

    @property
    def last(self) -> str:
        """Hash of the last fence and version given out; never expires, so neither comes again."""
        return f"vwt:{{{self.scope}}}:vocab:last"

    @property
    def versions(self) -> str:
        """Stream of what was published and when."""
        return f"vwt:{{{self.scope}}}:vocab:versions"

    @property
    def stats(self) -> str:
        """Stream of how versions covered the window."""
        return f"vwt:{{{self.scope}}}:vocab:stats"

    def version(self, version: int) -> str:
        """The bytes of one version."""
        return f"vwt:{{{self.scope}}}:vocab:{version}"
