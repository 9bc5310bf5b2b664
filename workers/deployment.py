"""What the deployments that scale have in common."""

from __future__ import annotations

import ipaddress
import os
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import ray
from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy
from ray.serve.handle import DeploymentHandle

from workers.settings.schema import Scaling

T = TypeVar("T")

# Serve's own intervals (10 s to tell, 30 s to look back on) are long against what is to be followed here, but
# its controller hears every replica and every handle: they tell as often as that where there are many.
_LONGEST_TELL_S = 10.0
_TOLD_PER_S = 2.0
# A message of one picture costs little more than half the CPU when it goes straight to the other process; one
# of megabytes costs less through Ray's store, and by itself gRPC takes none of more than 4 MB.
_STRAIGHT_BYTES = 2**20


def where() -> dict[str, Any]:
    """{"replica", "node", "pid"} of the replica this is called in."""
    return {
        "replica": serve.get_replica_context().replica_id.unique_id,
        "node": ray.get_runtime_context().get_node_id(),
        "pid": os.getpid(),
    }


def scaled(
    scaling: Scaling, look_back_s: float, policy: Callable[..., Any], **options: Any
) -> AutoscalingConfig:
    """How many replicas a deployment has.

    Args:
        scaling: their bounds, and how long a change must last.
        look_back_s: seconds of what replicas told that a decision rests on; more where they tell less often.
        policy: class of the policy.
        options: of the policy.
    """
    most = max(scaling.max_replicas, scaling.min_replicas)
    tell_s = tell_every_s(most)
    with warnings.catch_warnings():
        # The interval is said to go, but nothing else sets it per deployment yet.
        warnings.simplefilter("ignore", DeprecationWarning)
        return AutoscalingConfig(
            min_replicas=scaling.min_replicas,
            max_replicas=most,
            upscale_delay_s=scaling.upscale_delay_s,
            downscale_delay_s=scaling.downscale_delay_s,
            metrics_interval_s=tell_s,
            look_back_period_s=max(look_back_s, 1.5 * tell_s),
            policy=AutoscalingPolicy(policy_function=policy, policy_kwargs=options),
        )


def tell_every_s(replicas: int) -> float:
    """How often each of at most so many replicas tells how it is."""
    return min(max(replicas / _TOLD_PER_S, 1.0), _LONGEST_TELL_S)


def by_size(handle: DeploymentHandle[T], size: int) -> DeploymentHandle[T]:
    """The handle, its calls by the way that is cheapest for `size` bytes: straight, or by Ray's store."""
    return handle.options(_by_reference=size > _STRAIGHT_BYTES)


def keep_to_loopback() -> None:
    """Has this replica listen on the loopback alone where Ray does; call it in the replica's constructor.

    A replica takes calls of others at a port of its own, at every address, and unpickles what comes. Serve
    has no setting for the address: what opens the port is replaced.
    """
    if not ipaddress.ip_address(ray.util.get_node_ip_address()).is_loopback:
        return
    from ray.serve._private import replica

    module: Any = replica
    opened = module.add_port_to_grpc_server
    module.add_port_to_grpc_server = lambda server, _address: opened(server, "127.0.0.1:0")
