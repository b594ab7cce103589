"""Every metric the job registers, once. Counters of refusals are named after their reason (`udfs.reasons`)."""

ALIGNED = "aligned"  # readings accepted and unique
DUPLICATES = "duplicates"  # readings that repeat an earlier one
INVALID = "invalid"  # readings refused, by reason in the group `reason`
LATE = "late"  # readings that missed all of their windows, once per window definition
STALE = "stale"  # readings counted as aligned whose event was older than `time.stale_after` at ingest
WINDOW_RESULTS = "window_results"  # results published, revisions included
REVISIONS = "revisions"  # results published within the allowed lateness

COUNTERS = (ALIGNED, DUPLICATES, INVALID, LATE, STALE, WINDOW_RESULTS, REVISIONS)
