from tests.vocab.conftest import client, cluster, server, watched

__all__ = ["client", "cluster", "server", "watched"]
