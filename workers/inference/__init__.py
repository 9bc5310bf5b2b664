"""The `Inference` deployment: batches across streams, predicts, meters energy, appends results to Redis."""
