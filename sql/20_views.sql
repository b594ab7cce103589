-- From aligned readings to summaries.
--
--     unique_aligned ─> readings ─> judged ─┬─> hourly, sliding                         fired again: revised_summaries
--                                           ├─> sessions, local_day, day_so_far, areas  fired once:  final_summaries
--                                           └─> what missed its windows                 late_letters

-- A reading with what held at its event time: position, zone, watershed, calibration, limit.
--
-- It is one column, so that all that follows asks for the same one: otherwise the planner leaves out of the joins what
-- a summary does not need, makes as many joins as there are summaries, and each judges by a watermark of its own.
CREATE VIEW packed_readings AS
SELECT
    r.event_time,
    CAST(
        ROW(
            r.event_id, r.sensor_id, r.`stream`, r.metric, r.unit, r.region, r.cell, s.watershed,
            r.`value` * COALESCE(s.calibrations[r.metric].gain, 1.0) + COALESCE(s.calibrations[r.metric].shift, 0.0),
            COALESCE(s.lon_deg, r.lon_deg), COALESCE(s.lat_deg, r.lat_deg), COALESCE(s.time_zone, 'UTC'),
            s.period_ms, l.limit_value, l.limit_name, r.event_time_ms, r.append_time_ms, r.allowed_lateness_ms,
            r.topic, r.`partition`, r.`offset`, r.record_key
        ) AS ROW<
            event_id STRING, sensor_id STRING, `stream` STRING, metric STRING, unit STRING, region STRING, cell STRING,
            watershed STRING, `value` DOUBLE, lon_deg DOUBLE, lat_deg DOUBLE, time_zone STRING, period_ms BIGINT,
            limit_value DOUBLE, limit_name STRING, event_time_ms BIGINT, append_time_ms BIGINT,
            allowed_lateness_ms BIGINT, topic STRING, `partition` INT, `offset` BIGINT, record_key BYTES
        >
    ) AS reading
FROM unique_aligned AS r
LEFT JOIN stations FOR SYSTEM_TIME AS OF r.event_time AS s ON r.sensor_id = s.sensor_id
LEFT JOIN limits FOR SYSTEM_TIME AS OF r.event_time AS l ON r.region = l.region AND r.metric = l.metric;

-- Readings with the watermark that they meet. Flink's begins anew after a restart, and a group window that has been purged
-- would open again for a late reading and overwrite its summary: so the largest that a sensor's readings met is kept. That
-- is one step behind: a window that closed after the sensor's last readings before the restart can still open again.
CREATE VIEW readings AS
SELECT
    event_time, reading.*,
    MAX(met_watermark_ms) OVER (
        PARTITION BY reading.sensor_id ORDER BY arrived ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS watermark_ms
FROM (
    SELECT
        *, PROCTIME() AS arrived,
        COALESCE(
            EXTRACT(EPOCH FROM CURRENT_WATERMARK(event_time)) * 1000
            + EXTRACT(MILLISECOND FROM CURRENT_WATERMARK(event_time)),
            -9000000000000000
        ) AS met_watermark_ms
    FROM packed_readings
);

-- The end of a reading's last window of each kind, and its parts.
--
-- A reading is late when `end - 1 + allowed lateness <= watermark`, as in Flink's operators. What is late never reaches
-- them, and they drop nothing: the watermark that they see is at most this one.
--
-- The local date comes from the zone's column by way of texts, whatever the session's zone is. Sums of squares are of
-- whole and fractional parts: STDDEV_POP is the root of a difference of large numbers, which keeps 7 digits of a
-- pressure in Pa and gives NaN for a constant.
CREATE VIEW judged AS
SELECT
    *,
    ROUND(`value`) AS whole, `value` - ROUND(`value`) AS part,
    CASE WHEN unit IN ('deg', 'degree', 'degrees') THEN SIN(RADIANS(`value`)) END AS east,
    CASE WHEN unit IN ('deg', 'degree', 'degrees') THEN COS(RADIANS(`value`)) END AS north,
    CASE WHEN `value` > limit_value THEN CAST(1 AS BIGINT) ELSE 0 END AS exceeds,
    event_time_ms - MOD(event_time_ms, 3600000) + 3600000 AS hour_end_ms,
    event_time_ms - MOD(event_time_ms, 900000) + 3600000 AS sliding_end_ms,
    event_time_ms + 1800000 AS session_end_ms,
    event_time_ms - MOD(event_time_ms, 86400000) + 86400000 AS day_end_ms,
    SUBSTRING(
        CONVERT_TZ(
            CAST(TIMESTAMPADD(MINUTE, CAST(event_time_ms / 60000 AS INT), TIMESTAMP '1970-01-01 00:00:00') AS STRING),
            'UTC', time_zone
        ) FROM 1 FOR 10
    ) AS local_date
FROM readings;

-- When the local day begins and ends of a reading that may be late for it (an hour and more behind the watermark).
CREATE VIEW local_judged AS
SELECT
    *,
    CASE WHEN event_time_ms + 3600000 <= watermark_ms THEN
        EXTRACT(EPOCH FROM CAST(CONVERT_TZ(CONCAT(local_date, ' 00:00:00'), time_zone, 'UTC') AS TIMESTAMP(0))) * 1000
    END AS local_day_start_ms,
    CASE WHEN event_time_ms + 3600000 <= watermark_ms THEN
        EXTRACT(EPOCH FROM CAST(CONVERT_TZ(CONCAT(next_date, ' 00:00:00'), time_zone, 'UTC') AS TIMESTAMP(0))) * 1000
    END AS local_day_end_ms
FROM (SELECT *, CAST(CAST(local_date AS DATE) + INTERVAL '1' DAY AS STRING) AS next_date FROM judged);

-- Each hour of each sensor; revised by readings inside the allowed lateness, as is the next one.
CREATE VIEW hourly_sums AS
SELECT
    'hourly' AS definition, 'sensor' AS key_kind, sensor_id AS `key`, metric, unit, 'UTC' AS time_zone,
    EXTRACT(EPOCH FROM TUMBLE_START(event_time, INTERVAL '1' HOUR)) * 1000 AS window_start_ms,
    EXTRACT(EPOCH FROM TUMBLE_END(event_time, INTERVAL '1' HOUR)) * 1000 AS window_end_ms,
    COUNT(*) AS n,
    SUM(whole) AS whole, SUM(whole * whole) AS whole2,
    SUM(part) AS part, SUM(part * part) AS part2, SUM(whole * part) AS cross2,
    MIN(`value`) AS lowest, MAX(`value`) AS highest, PERCENTILE(`value`, ARRAY[0.05, 0.5, 0.95]) AS percentiles,
    SUM(east) AS east, SUM(north) AS north,
    CAST(1 AS BIGINT) AS sensors, AVG(CAST(period_ms AS DOUBLE)) AS period_ms,
    MAX(limit_value) AS limit_value, COUNT(limit_value) AS limited, SUM(exceeds) AS exceedances,
    MAX(event_time_ms) AS max_event_time_ms
FROM judged
WHERE hour_end_ms - 1 + allowed_lateness_ms > watermark_ms
GROUP BY sensor_id, metric, unit, TUMBLE(event_time, INTERVAL '1' HOUR);

-- The last hour, every 15 minutes. Late is what misses all four of its windows.
CREATE VIEW sliding_sums AS
SELECT
    'sliding' AS definition, 'sensor' AS key_kind, sensor_id AS `key`, metric, unit, 'UTC' AS time_zone,
    EXTRACT(EPOCH FROM HOP_START(event_time, INTERVAL '15' MINUTE, INTERVAL '1' HOUR)) * 1000 AS window_start_ms,
    EXTRACT(EPOCH FROM HOP_END(event_time, INTERVAL '15' MINUTE, INTERVAL '1' HOUR)) * 1000 AS window_end_ms,
    COUNT(*) AS n,
    SUM(whole) AS whole, SUM(whole * whole) AS whole2,
    SUM(part) AS part, SUM(part * part) AS part2, SUM(whole * part) AS cross2,
    MIN(`value`) AS lowest, MAX(`value`) AS highest, PERCENTILE(`value`, ARRAY[0.05, 0.5, 0.95]) AS percentiles,
    SUM(east) AS east, SUM(north) AS north,
    CAST(1 AS BIGINT) AS sensors, AVG(CAST(period_ms AS DOUBLE)) AS period_ms,
    MAX(limit_value) AS limit_value, COUNT(limit_value) AS limited, SUM(exceeds) AS exceedances,
    MAX(event_time_ms) AS max_event_time_ms
FROM judged
WHERE sliding_end_ms - 1 + allowed_lateness_ms > watermark_ms
GROUP BY sensor_id, metric, unit, HOP(event_time, INTERVAL '15' MINUTE, INTERVAL '1' HOUR);

-- Uninterrupted operation: a pause of 30 minutes ends a session. Late is what could not even begin one any more.
CREATE VIEW sessions_sums AS
SELECT
    'sessions' AS definition, 'sensor' AS key_kind, sensor_id AS `key`, metric, unit, 'UTC' AS time_zone,
    EXTRACT(EPOCH FROM SESSION_START(event_time, INTERVAL '30' MINUTE)) * 1000
    + EXTRACT(MILLISECOND FROM SESSION_START(event_time, INTERVAL '30' MINUTE)) AS window_start_ms,
    EXTRACT(EPOCH FROM SESSION_END(event_time, INTERVAL '30' MINUTE)) * 1000
    + EXTRACT(MILLISECOND FROM SESSION_END(event_time, INTERVAL '30' MINUTE)) AS window_end_ms,
    COUNT(*) AS n,
    SUM(whole) AS whole, SUM(whole * whole) AS whole2,
    SUM(part) AS part, SUM(part * part) AS part2, SUM(whole * part) AS cross2,
    MIN(`value`) AS lowest, MAX(`value`) AS highest, PERCENTILE(`value`, ARRAY[0.05, 0.5, 0.95]) AS percentiles,
    SUM(east) AS east, SUM(north) AS north,
    CAST(1 AS BIGINT) AS sensors, AVG(CAST(period_ms AS DOUBLE)) AS period_ms,
    MAX(limit_value) AS limit_value, COUNT(limit_value) AS limited, SUM(exceeds) AS exceedances,
    MAX(event_time_ms) AS max_event_time_ms
FROM judged
WHERE session_end_ms - 1 > watermark_ms
GROUP BY sensor_id, metric, unit, SESSION(event_time, INTERVAL '30' MINUTE);

-- Days of the station's own zone: 23, 24 or 25 hours long, or half an hour more or less on Lord Howe Island. A day is
-- the session of all readings of one local date: no pause within a date lasts 26 hours, so it never breaks in two, and
-- takes readings for an hour after its end; it is published when the watermark is 26 hours past its last reading.
-- Where midnight comes twice (on the Azores, say), Java takes the second one; the day begins with the first.
CREATE VIEW local_day_sums AS
SELECT
    'local_day' AS definition, 'sensor' AS key_kind, sensor_id AS `key`, metric, unit, time_zone,
    CASE WHEN hour_before_start = local_date THEN start_ms - 3600000 ELSE start_ms END AS window_start_ms,
    CASE WHEN hour_before_end <> local_date THEN end_ms - 3600000 ELSE end_ms END AS window_end_ms,
    n, whole, whole2, part, part2, cross2, lowest, highest, percentiles, east, north, sensors, period_ms, limit_value,
    limited, exceedances, max_event_time_ms
FROM (
    SELECT
        *,
        SUBSTRING(
            CONVERT_TZ(
                CAST(TIMESTAMPADD(MINUTE, CAST(start_ms / 60000 - 60 AS INT), TIMESTAMP '1970-01-01 00:00:00') AS STRING),
                'UTC', time_zone
            ) FROM 1 FOR 10
        ) AS hour_before_start,
        SUBSTRING(
            CONVERT_TZ(
                CAST(TIMESTAMPADD(MINUTE, CAST(end_ms / 60000 - 60 AS INT), TIMESTAMP '1970-01-01 00:00:00') AS STRING),
                'UTC', time_zone
            ) FROM 1 FOR 10
        ) AS hour_before_end
    FROM (
        SELECT
            *,
            EXTRACT(EPOCH FROM CAST(CONVERT_TZ(CONCAT(local_date, ' 00:00:00'), time_zone, 'UTC') AS TIMESTAMP(0)))
                * 1000 AS start_ms,
            EXTRACT(EPOCH FROM CAST(CONVERT_TZ(CONCAT(next_date, ' 00:00:00'), time_zone, 'UTC') AS TIMESTAMP(0)))
                * 1000 AS end_ms
        FROM (
            SELECT
                sensor_id, metric, unit, time_zone, local_date, next_date,
                COUNT(*) AS n,
                SUM(whole) AS whole, SUM(whole * whole) AS whole2,
                SUM(part) AS part, SUM(part * part) AS part2, SUM(whole * part) AS cross2,
                MIN(`value`) AS lowest, MAX(`value`) AS highest,
                PERCENTILE(`value`, ARRAY[0.05, 0.5, 0.95]) AS percentiles,
                SUM(east) AS east, SUM(north) AS north,
                CAST(1 AS BIGINT) AS sensors, AVG(CAST(period_ms AS DOUBLE)) AS period_ms,
                MAX(limit_value) AS limit_value, COUNT(limit_value) AS limited, SUM(exceeds) AS exceedances,
                MAX(event_time_ms) AS max_event_time_ms
            FROM local_judged
            WHERE local_day_end_ms IS NULL OR local_day_end_ms - 1 + 3600000 > watermark_ms
            GROUP BY
                sensor_id, metric, unit, time_zone, local_date, next_date, SESSION(event_time, INTERVAL '26' HOUR)
        )
    )
);

-- The UTC day so far, every hour.
CREATE VIEW day_so_far_sums AS
SELECT
    'day_so_far' AS definition, 'sensor' AS key_kind, sensor_id AS `key`, metric, unit, 'UTC' AS time_zone,
    EXTRACT(EPOCH FROM window_start) * 1000 AS window_start_ms,
    EXTRACT(EPOCH FROM window_end) * 1000 AS window_end_ms,
    COUNT(*) AS n,
    SUM(whole) AS whole, SUM(whole * whole) AS whole2,
    SUM(part) AS part, SUM(part * part) AS part2, SUM(whole * part) AS cross2,
    MIN(`value`) AS lowest, MAX(`value`) AS highest, PERCENTILE(`value`, ARRAY[0.05, 0.5, 0.95]) AS percentiles,
    SUM(east) AS east, SUM(north) AS north,
    CAST(1 AS BIGINT) AS sensors, AVG(CAST(period_ms AS DOUBLE)) AS period_ms,
    MAX(limit_value) AS limit_value, COUNT(limit_value) AS limited, SUM(exceeds) AS exceedances,
    MAX(event_time_ms) AS max_event_time_ms
FROM TABLE(CUMULATE(TABLE judged, DESCRIPTOR(event_time), INTERVAL '1' HOUR, INTERVAL '1' DAY))
WHERE day_end_ms - 1 > watermark_ms
GROUP BY sensor_id, metric, unit, window_start, window_end;

-- Each hour of each region, watershed and cell, in one pass. A reading without a watershed is in no watershed's.
CREATE VIEW area_sums AS
SELECT
    'areas' AS definition,
    CASE WHEN region IS NOT NULL THEN 'region' WHEN watershed IS NOT NULL THEN 'watershed' ELSE 'cell' END AS key_kind,
    COALESCE(region, watershed, cell) AS `key`, metric, unit, 'UTC' AS time_zone,
    EXTRACT(EPOCH FROM window_start) * 1000 AS window_start_ms,
    EXTRACT(EPOCH FROM window_end) * 1000 AS window_end_ms,
    n, whole, whole2, part, part2, cross2, lowest, highest, percentiles, east, north, sensors, period_ms, limit_value,
    limited, exceedances, max_event_time_ms
FROM (
    SELECT
        region, watershed, cell, metric, unit, window_start, window_end,
        COUNT(*) AS n,
        SUM(whole) AS whole, SUM(whole * whole) AS whole2,
        SUM(part) AS part, SUM(part * part) AS part2, SUM(whole * part) AS cross2,
        MIN(`value`) AS lowest, MAX(`value`) AS highest, PERCENTILE(`value`, ARRAY[0.05, 0.5, 0.95]) AS percentiles,
        SUM(east) AS east, SUM(north) AS north,
        COUNT(DISTINCT sensor_id) AS sensors, AVG(CAST(period_ms AS DOUBLE)) AS period_ms,
        MAX(limit_value) AS limit_value, COUNT(limit_value) AS limited, SUM(exceeds) AS exceedances,
        MAX(event_time_ms) AS max_event_time_ms
    FROM TABLE(TUMBLE(TABLE judged, DESCRIPTOR(event_time), INTERVAL '1' HOUR))
    WHERE hour_end_ms - 1 > watermark_ms
    GROUP BY
        window_start, window_end,
        GROUPING SETS ((region, metric, unit), (watershed, metric, unit), (cell, metric, unit))
)
WHERE COALESCE(region, watershed, cell) IS NOT NULL;

-- Mean and deviation by way of a whole number near the mean; the circular mean and how steady it was (0 to 1) of
-- directions; completeness against the stations' periods. The two views differ in their windows only: late firings are
-- a setting of a whole statement set, and Flink has none for sessions and window functions.
CREATE VIEW revised_summaries AS
SELECT
    definition, key_kind, `key`, metric, unit, time_zone, window_start_ms, window_end_ms, n AS `count`,
    centre + rest AS mean, lowest AS `min`, highest AS `max`,
    SQRT(GREATEST(squares / n - rest * rest, 0)) AS std,
    percentiles[1] AS p05, percentiles[2] AS p50, percentiles[3] AS p95,
    DEGREES(ATAN2(east, north)) + CASE WHEN ATAN2(east, north) < 0 THEN 360 ELSE 0 END AS direction_deg,
    SQRT(east * east + north * north) / n AS steadiness,
    sensors, sensors * (window_end_ms - window_start_ms) / period_ms AS expected_count,
    n * period_ms / (sensors * (window_end_ms - window_start_ms)) AS completeness,
    limit_value, CASE WHEN limited > 0 THEN exceedances END AS exceedances,
    max_event_time_ms, UNIX_TIMESTAMP() * 1000 AS emitted_at_ms
FROM (
    SELECT
        *,
        (whole - n * centre + part) / n AS rest,
        whole2 - 2 * centre * whole + n * centre * centre + 2 * (cross2 - centre * part) + part2 AS squares
    FROM (SELECT *, ROUND(whole / n) AS centre FROM (
        SELECT * FROM hourly_sums UNION ALL SELECT * FROM sliding_sums
    ))
);

CREATE VIEW final_summaries AS
SELECT
    definition, key_kind, `key`, metric, unit, time_zone, window_start_ms, window_end_ms, n AS `count`,
    centre + rest AS mean, lowest AS `min`, highest AS `max`,
    SQRT(GREATEST(squares / n - rest * rest, 0)) AS std,
    percentiles[1] AS p05, percentiles[2] AS p50, percentiles[3] AS p95,
    DEGREES(ATAN2(east, north)) + CASE WHEN ATAN2(east, north) < 0 THEN 360 ELSE 0 END AS direction_deg,
    SQRT(east * east + north * north) / n AS steadiness,
    sensors, sensors * (window_end_ms - window_start_ms) / period_ms AS expected_count,
    n * period_ms / (sensors * (window_end_ms - window_start_ms)) AS completeness,
    limit_value, CASE WHEN limited > 0 THEN exceedances END AS exceedances,
    max_event_time_ms, UNIX_TIMESTAMP() * 1000 AS emitted_at_ms
FROM (
    SELECT
        *,
        (whole - n * centre + part) / n AS rest,
        whole2 - 2 * centre * whole + n * centre * centre + 2 * (cross2 - centre * part) + part2 AS squares
    FROM (SELECT *, ROUND(whole / n) AS centre FROM (
        SELECT * FROM sessions_sums
        UNION ALL SELECT * FROM local_day_sums
        UNION ALL SELECT * FROM day_so_far_sums
        UNION ALL SELECT * FROM area_sums
    ))
);

-- Dead letters, one for each definition that a reading missed, as the align job writes them. Topic, partition and
-- offset are those of the raw record; the payload is the reading as it would have been summarised.
CREATE VIEW late_letters AS
SELECT
    'late' AS reason, 'window' AS stage,
    CONCAT(
        CAST(watermark_ms - event_time_ms AS STRING), ' ms behind the watermark; ', definition, ' allows ',
        CAST(allowed_ms AS STRING), ' ms after the window'
    ) AS message,
    topic, `partition`, `offset`, append_time_ms,
    TO_BASE64(CAST(record_key AS STRING)) AS key_base64,
    CAST(NULL AS MAP<STRING, STRING>) AS headers,
    TO_BASE64(payload) AS payload_base64, CAST(CHAR_LENGTH(HEX(payload)) / 2 AS BIGINT) AS payload_bytes,
    SHA256(payload) AS payload_sha256,
    FALSE AS truncated, FALSE AS replayable, CAST(NULL AS STRING) AS replay_of, '0.1.0' AS job_version,
    `stream`, definition, window_start_ms, window_end_ms, missed_windows, watermark_ms, event_time_ms,
    watermark_ms - event_time_ms AS lateness_ms, allowed_ms AS allowed_lateness_ms, sensor_id, metric, event_id
FROM (
    SELECT
        *,
        JSON_OBJECT(
            KEY 'event_id' VALUE event_id, KEY 'sensor_id' VALUE sensor_id, KEY 'metric' VALUE metric,
            KEY 'value' VALUE `value`, KEY 'unit' VALUE unit, KEY 'event_time_ms' VALUE event_time_ms,
            KEY 'lon_deg' VALUE lon_deg, KEY 'lat_deg' VALUE lat_deg, KEY 'cell' VALUE cell, KEY 'region' VALUE region
        ) AS payload
    FROM (
        SELECT *, CASE WHEN event_time_ms <= watermark_ms THEN ARRAY[
            ROW('hourly', hour_end_ms - 3600000, hour_end_ms, ARRAY[hour_end_ms - 3600000], allowed_lateness_ms),
            ROW('sliding', sliding_end_ms - 3600000, sliding_end_ms, ARRAY[
                sliding_end_ms - 3600000, sliding_end_ms - 4500000, sliding_end_ms - 5400000, sliding_end_ms - 6300000
            ], allowed_lateness_ms),
            ROW('sessions', event_time_ms, session_end_ms, ARRAY[event_time_ms], CAST(0 AS BIGINT)),
            ROW('local_day', local_day_start_ms, local_day_end_ms, ARRAY[local_day_start_ms], CAST(3600000 AS BIGINT)),
            ROW('day_so_far', day_end_ms - 86400000, day_end_ms, ARRAY[day_end_ms - 86400000], CAST(0 AS BIGINT)),
            ROW('areas', hour_end_ms - 3600000, hour_end_ms, ARRAY[hour_end_ms - 3600000], CAST(0 AS BIGINT))
        ] END AS ends
        FROM local_judged
    ) CROSS JOIN UNNEST(ends) AS missed(definition, window_start_ms, window_end_ms, missed_windows, allowed_ms)
    WHERE window_end_ms - 1 + allowed_ms <= watermark_ms
);
