-- What holds, out of what has been published: the newest of each.

-- The newest record of each summary: what holds.
CREATE VIEW summaries AS
SELECT *
FROM (
    SELECT
        *,
        ROW_NUMBER() OVER (
            PARTITION BY definition, key_kind, `key`, metric, unit, window_start_ms, window_end_ms
            ORDER BY log_offset DESC
        ) AS newest
    FROM summary_log
)
WHERE newest = 1;

-- The last revision of each of the align job's windows.
CREATE VIEW window_results AS
SELECT *
FROM (
    SELECT
        *,
        ROW_NUMBER() OVER (
            PARTITION BY `stream`, definition, `key`, metric, window_start_ms, window_end_ms ORDER BY revision DESC
        ) AS newest
    FROM windows
)
WHERE newest = 1;

-- What is on record of each station last, whether it holds already or not.
CREATE VIEW newest_stations AS
SELECT *
FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY sensor_id ORDER BY valid_from_ms DESC, log_offset DESC) AS newest
    FROM station_log
)
WHERE newest = 1;
