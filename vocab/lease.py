"""Who may publish a scope's vocabulary: one keeper at a time."""

from __future__ import annotations

from typing import Protocol


class Lease(Protocol):
    """The right to publish, for a while. Every method raises StoreUnavailable when the store cannot say."""

    def acquire(self) -> int | None:
        """Takes the lease, or keeps it where it is ours already.

        Returns:
            The fence (a fencing token): above that of every holder before; None while another has the lease.
        """

    def renew(self) -> bool:
        """Starts the time to live anew; False when the lease is no longer ours."""

    def release(self) -> None:
        """Lets another take it at once; does nothing when it is not ours."""


class MemoryLease:
    """The lease of a store in memory, which one keeper has for itself."""

    def acquire(self) -> int | None:
        """See `Lease`; always granted."""
        return 1

    def renew(self) -> bool:
        """See `Lease`."""
        return True

    def release(self) -> None:
        """See `Lease`."""
