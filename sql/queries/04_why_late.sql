-- Why are readings late? How far behind the watermark they came, and how long they had been on their way.
SELECT d.event_id, d.definition, d.lateness_ms / 1000 AS behind_watermark_s, d.allowed_lateness_ms / 1000 AS allowed_s,
    (a.append_time_ms - a.event_time_ms) / 1000 AS on_the_way_s, TO_TIMESTAMP_LTZ(d.watermark_ms, 3) AS watermark_was
FROM (SELECT * FROM late_events UNION ALL SELECT * FROM late_summaries) AS d
JOIN (SELECT DISTINCT `partition`, `offset`, event_time_ms, append_time_ms FROM aligned) AS a
    ON a.`partition` = d.`partition` AND a.`offset` = d.`offset`
ORDER BY behind_watermark_s DESC, d.event_id, d.definition
LIMIT 10;
