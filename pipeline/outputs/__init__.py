"""Where results go: JSON lines and an annotated video."""
