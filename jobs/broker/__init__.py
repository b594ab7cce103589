"""Plain Kafka clients of the command line tools: the job itself reads and writes through Flink's connectors."""
