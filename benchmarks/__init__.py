"""What is claimed, and the command that reproduces it. Threads share the cores as in the `vwt` command."""

from workers.threads import share_cores

share_cores()
