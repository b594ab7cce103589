-- Which stations have gone silent? Nothing for five of their periods, seen from the newest reading of all.
SELECT s.sensor_id, s.watershed, MAX(a.event_time) AS last_reading,
    (MAX(n.newest_ms) - MAX(a.event_time_ms)) / 60000 AS silent_min
FROM newest_stations AS s
LEFT JOIN aligned AS a ON a.sensor_id = s.sensor_id
CROSS JOIN (SELECT MAX(event_time_ms) AS newest_ms FROM aligned) AS n
GROUP BY s.sensor_id, s.watershed, s.period_ms
HAVING MAX(a.event_time_ms) IS NULL OR MAX(n.newest_ms) - MAX(a.event_time_ms) > 5 * s.period_ms
ORDER BY silent_min DESC;
