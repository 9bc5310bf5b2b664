"""The side of the service that reads sources: who reads which stream, and how its frames get to Inference."""
