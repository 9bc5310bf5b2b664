"""The one error of this package. Free of heavy imports."""


class VocabularyError(ValueError):
    """A vocabulary that cannot be read, learned or used: what failed, why, what to do."""
