-- Which sensors repeat themselves?
SELECT d.sensor_id, d.repeats, a.readings, ROUND(CAST(d.repeats AS DOUBLE) / a.readings, 3) AS repeats_per_reading
FROM (SELECT sensor_id, COUNT(*) AS repeats FROM accounting WHERE `class` = 'duplicate' GROUP BY sensor_id) AS d
JOIN (SELECT sensor_id, COUNT(DISTINCT event_id) AS readings FROM aligned GROUP BY sensor_id) AS a
    ON a.sensor_id = d.sensor_id
ORDER BY d.repeats DESC, d.sensor_id
LIMIT 10;
