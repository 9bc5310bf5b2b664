"""What crosses processes: streams and their status, messages, sinks, results, and their keys in Redis."""
