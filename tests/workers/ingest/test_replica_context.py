from workers.ingest.replica_context import gpu_for


def test_replicas_of_a_node_take_turns_on_its_gpus():
    assert [gpu_for(replica, 2) for replica in range(5)] == [0, 1, 0, 1, 0]
    assert gpu_for(3, 0) is None
