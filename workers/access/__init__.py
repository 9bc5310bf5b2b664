"""Who may use the service, and what it may be made to read."""
