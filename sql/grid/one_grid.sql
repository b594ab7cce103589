-- What was each sensor's value every 5 minutes? The last reading, at most 10 minutes old, and the mean of the 5 minutes
-- before. `meridian join` does this live, with gaps, interpolation and revisions (docs/grid.md).
WITH instants AS ( -- of each reading the next one and the one after that: as far as 10 minutes reach
    SELECT DISTINCT sensor_id, metric, (event_time_ms - 1) / 300000 * 300000 + 300000 * step AS instant_ms
    FROM aligned CROSS JOIN (VALUES 1, 2) AS steps (step)
), as_of AS (
    SELECT * FROM (
        SELECT i.sensor_id, i.metric, i.instant_ms, a.unit, a.`value`, i.instant_ms - a.event_time_ms AS age_ms,
            ROW_NUMBER() OVER (PARTITION BY i.sensor_id, i.metric, i.instant_ms ORDER BY a.event_time_ms DESC) AS newest
        FROM instants AS i JOIN aligned AS a ON a.sensor_id = i.sensor_id AND a.metric = i.metric
            AND a.event_time_ms BETWEEN i.instant_ms - 600000 AND i.instant_ms
    ) WHERE newest = 1
), means AS ( -- of [instant - 5 min, instant)
    SELECT sensor_id, metric, event_time_ms / 300000 * 300000 + 300000 AS instant_ms, AVG(`value`) AS mean_value,
        COUNT(*) AS readings
    FROM aligned
    GROUP BY sensor_id, metric, event_time_ms / 300000
)
SELECT as_of.sensor_id, as_of.metric, as_of.instant_ms, as_of.`value`, as_of.unit, as_of.age_ms, means.mean_value,
    COALESCE(means.readings, 0) AS readings
FROM as_of LEFT JOIN means ON means.sensor_id = as_of.sensor_id AND means.metric = as_of.metric
    AND means.instant_ms = as_of.instant_ms
ORDER BY sensor_id, metric, instant_ms;
