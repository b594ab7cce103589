-- Which local days did not last 24 hours, and what were they like?
SELECT `key` AS sensor_id, metric, time_zone, window_start, CAST(window_end_ms - window_start_ms AS DOUBLE) / 3600000 AS hours,
    `count`, completeness, `min`, p50, `max`
FROM summaries
WHERE definition = 'local_day' AND window_end_ms - window_start_ms <> 86400000
ORDER BY window_start, sensor_id, metric;
