-- How has an hour been revised? The hour with the most revisions, as it was published each time.
WITH revised AS (
    SELECT `key`, metric, window_start_ms, COUNT(*) AS revisions
    FROM summary_log
    WHERE definition = 'hourly'
    GROUP BY `key`, metric, window_start_ms
    ORDER BY revisions DESC, window_start_ms, `key`
    LIMIT 1
)
SELECT l.`key`, l.metric, l.window_start, l.`count`, l.mean, l.`max`, l.published_at,
    ROW_NUMBER() OVER (PARTITION BY l.`key`, l.metric, l.window_start_ms ORDER BY l.log_offset) AS revision
FROM summary_log AS l
JOIN revised AS r ON l.`key` = r.`key` AND l.metric = r.metric AND l.window_start_ms = r.window_start_ms
WHERE l.definition = 'hourly'
ORDER BY revision;
