"""The base of all errors a user can act on, and those of this package. Free of heavy imports."""


class VwtError(Exception):
    """Base of every expected failure: what failed, why, what to do. The command line prints it as one line.

    Attributes:
        exit_code: what the `vwt` command exits with.
    """

    exit_code = 1


class VocabularyError(VwtError):
    """A vocabulary that cannot be read, learned or used (exit 2)."""

    exit_code = 2


class StoreUnavailable(Exception):  # noqa: N818 - a state to wait out, not a mistake
    """The window's or vocabulary's server is away, too slow, full or refuses: try again later."""
