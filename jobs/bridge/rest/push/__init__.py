"""The push endpoint: readings come by HTTP POST, and the answer comes once Kafka has them.

`tokens` says who may push, `batch` is one request on its way, `sender` is the thread that brings batches to Kafka,
`app` speaks HTTP, `server` puts them together.
"""
