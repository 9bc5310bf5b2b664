"""The HTTP side of the service: streams, results, previews, single images. It keeps nothing of its own."""
