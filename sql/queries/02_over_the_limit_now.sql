-- Where is PM2.5 over the limit now? The newest reading of each sensor against the limit that holds in its region.
SELECT a.sensor_id, a.region, a.`value`, a.unit, l.limit_value, l.limit_name, a.event_time
FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY sensor_id ORDER BY event_time_ms DESC) AS newest
    FROM aligned
    WHERE metric = 'pm2_5'
) AS a
JOIN (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY region, metric ORDER BY valid_from_ms DESC, log_offset DESC) AS newest
    FROM limit_log
) AS l ON l.region = a.region AND l.metric = a.metric AND l.newest = 1
WHERE a.newest = 1 AND a.`value` > l.limit_value
ORDER BY a.`value` DESC;
