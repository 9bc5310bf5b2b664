"""The errors of this package. Free of heavy imports."""


class VocabularyError(ValueError):
    """A vocabulary that cannot be read, learned or used: what failed, why, what to do."""


class StoreUnavailable(Exception):  # noqa: N818 - a state to wait out, not a mistake
    """The window's or vocabulary's server is away, too slow, full or refuses: try again later."""
