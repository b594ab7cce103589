"""Brings feeds that do not speak Kafka into the raw topic, with one envelope and nothing lost on the way.

`feed` is what an adapter is, `adapters` holds one for each feed, `envelope` makes Kafka records of what they give.
Those are pure; the transports (`mqtt`, `rest`) call them.
"""
