"""The deployment that learns the visual words of every scope in use."""
