"""Writers' schemas outside the stages: files, the Protobuf compiler, a Confluent-compatible registry and its cache."""
