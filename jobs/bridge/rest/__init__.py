"""REST feeds: a poller that keeps its cursors in Kafka with what it produced, and an endpoint that is pushed to.

`span`, `pages`, `rate`, `retry`, `gaps`, `recent` and `inflate` are pure. `fetch` speaks HTTP, `cursors` and `writer`
speak Kafka, `pull` joins the two, and `poller` and `backfill` decide when to pull what. `push` is the endpoint.
"""
