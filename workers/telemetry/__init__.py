"""What the service says of its own work: logs, traces, and the metrics there are."""
