"""The MQTT bridge: one thread that receives, hands to Kafka or the spool, and acknowledges only then."""
