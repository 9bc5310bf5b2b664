"""Takes calls to the replica of Inference that has their stream. Serve carries this file to who calls."""

from __future__ import annotations

from typing import Any

from ray.serve.experimental.consistent_hash_router import ConsistentHashRouter


class StreamRouter(ConsistentHashRouter):
    """Goes by the session of a call: the id of a stream that `PLACEMENT` knows, or the name of a replica.

    Any other call goes where Ray's ring leads, so that equal sessions still stay together.
    """

    def update_replicas(self, replicas: Any) -> None:
        """See `RequestRouter`."""
        super().update_replicas(replicas)
        self._tell()

    def on_replica_actor_died(self, replica_id: Any) -> None:
        """See `RequestRouter`; its streams need not wait until Serve has noticed."""
        super().on_replica_actor_died(replica_id)
        self._tell()

    async def choose_replicas(self, candidate_replicas: Any, pending_request: Any = None) -> Any:
        """See `RequestRouter`."""
        session = "" if pending_request is None else pending_request.metadata.session_id
        replica = self._by_name.get(_placement().of(session) or session)
        if replica is None:
            return await super().choose_replicas(candidate_replicas, pending_request)
        # A stream that was sent elsewhere for once would be out of order there.
        pending_request.routing_context.should_backoff = True
        return [[replica]]

    def _tell(self) -> None:
        self._by_name = {one.unique_id: replica for one, replica in self.curr_replicas.items()}
        _placement().use_replicas(self._by_name)


def _placement() -> Any:
    """The one of this process: Serve carries this file by value, with copies of what stands at its top."""
    from workers.inference.placement import PLACEMENT

    return PLACEMENT
