"""Where results can be delivered to: files, webhooks, MQTT, Kafka."""
