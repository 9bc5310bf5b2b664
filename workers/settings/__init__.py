"""What the service is configured with, and where the values come from."""
