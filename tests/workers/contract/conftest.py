from tests.vocab.conftest import client, cluster, server

__all__ = ["client", "cluster", "server"]
