"""Every metric the job registers, once, with its labels. docs/metrics.md says what becomes of the names in Prometheus.

A label is a key-value group of Flink's (`add_group(label, value)`); the groups of a counter are in this order.
"""

ALIGNED = "aligned"  # readings accepted and unique, by `stream`
DUPLICATES = "duplicates"  # readings that repeat an earlier one
INVALID = "invalid"  # readings refused, by `stage` and `reason` (`udfs.reasons`)
LATE = "late"  # readings that missed all of their windows, by `stream` and `definition`
STALE = "stale"  # readings counted as aligned whose event was older than `time.stale_after` at ingest
WINDOW_RESULTS = "window_results"  # results published, revisions included
REVISIONS = "revisions"  # results published within the allowed lateness

EVENT_LAG = "event_lag"  # buckets, by `le`: from event time to Kafka's append time, of what is aligned
PROCESSING_LAG = "processing_lag"  # buckets, by `le`: from append time to deduplication, of what reaches it
WINDOW_DELAY = "window_delay"  # buckets, by `le`: from a window's end to its first result that is no early one

COUNTERS = (ALIGNED, DUPLICATES, INVALID, LATE, STALE, WINDOW_RESULTS, REVISIONS)
HISTOGRAMS = (EVENT_LAG, PROCESSING_LAG, WINDOW_DELAY)
