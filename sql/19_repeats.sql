-- Aligned readings without their repeats: of each sensor, metric, id and event time the first to come.
--
-- The align job writes a reading once; another producer, or a stream delivered at least once, may write it again. A
-- repeat comes through as soon as its id is forgotten: after table.exec.state.ttl. `meridian summaries submit` plans
-- this view apart from the rest, once for both statement sets and with the deployment's dedup.ttl. The stock client has
-- one TTL for a whole statement set, and the metadata of a station that is silent for so long would go with the ids: so
-- 01_settings.sql sets none, and there the ids are kept for ever.
CREATE VIEW unique_aligned AS
SELECT
    event_id, sensor_id, region, `stream`, metric, `value`, unit, event_time_ms, append_time_ms, lon_deg, lat_deg, cell,
    topic, `partition`, `offset`, record_key, allowed_lateness_ms, event_time
FROM (
    SELECT
        *,
        -- By arrival: by event time Flink would hold each reading back until the watermark has passed it.
        ROW_NUMBER() OVER (PARTITION BY sensor_id, metric, event_id, event_time_ms ORDER BY arrived) AS nth
    FROM (SELECT *, PROCTIME() AS arrived FROM aligned)
)
WHERE nth = 1;
