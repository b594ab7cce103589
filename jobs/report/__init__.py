"""One self-contained HTML page of a run or a period, made from the topics alone.

`gather` turns records into columns, `timeline` follows the watermark through the raw topic, `scales`, `chart` and
`station_map` draw SVG, `sections` says what the page shows, and `page` fills the template. Only `topics` knows Kafka.
"""
