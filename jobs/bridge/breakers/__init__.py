"""Circuit breakers: while a bridge's way to Kafka, or its feeds' positions, fail, readings go to the cold store."""
