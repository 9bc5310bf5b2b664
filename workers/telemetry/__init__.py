"""What the service says of its own work: logs, and traces from decoding to the result."""
