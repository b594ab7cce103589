-- Whose clocks are wrong? Sensors that claim times ahead of the broker's.
SELECT sensor_id, COUNT(*) AS readings,
    MAX(event_timestamp / 1000 - UNIX_TIMESTAMP(DATE_FORMAT(append_time, 'yyyy-MM-dd HH:mm:ss'))) AS ahead_s
FROM raw_records
WHERE event_timestamp / 1000 > UNIX_TIMESTAMP(DATE_FORMAT(append_time, 'yyyy-MM-dd HH:mm:ss')) + 1
GROUP BY sensor_id
ORDER BY ahead_s DESC, sensor_id
LIMIT 10;
