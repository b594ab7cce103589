"""A made-up field of stations that speak MQTT, HTTP push and REST, and that knows what it has sent.

`plan` says what is sent and when, `shapes` how it looks on the wire, `rest_server` and `publish` send it, `accounts`
compares it with the topics. `meridian demo bridges` runs it.
"""
