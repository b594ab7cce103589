-- What has been published, record by record: for queries, since an upsert table cannot be read in batch mode.

-- All summaries with all their revisions; their order is that of `log_offset` within a key.
CREATE TABLE summary_log (
    definition STRING NOT NULL,
    key_kind STRING NOT NULL,
    `key` STRING NOT NULL,
    metric STRING NOT NULL,
    unit STRING NOT NULL,
    time_zone STRING,
    window_start_ms BIGINT NOT NULL,
    window_end_ms BIGINT NOT NULL,
    `count` BIGINT,
    mean DOUBLE,
    `min` DOUBLE,
    `max` DOUBLE,
    std DOUBLE,                         -- population
    p05 DOUBLE,
    p50 DOUBLE,
    p95 DOUBLE,
    direction_deg DOUBLE,               -- circular mean, of directions only
    steadiness DOUBLE,                  -- length of the mean direction, 0 to 1
    sensors BIGINT,
    expected_count DOUBLE,
    completeness DOUBLE,
    limit_value DOUBLE,
    exceedances BIGINT,
    max_event_time_ms BIGINT,
    emitted_at_ms BIGINT,
    published_at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
    log_partition INT METADATA FROM 'partition' VIRTUAL,
    log_offset BIGINT METADATA FROM 'offset' VIRTUAL,
    window_start AS TO_TIMESTAMP_LTZ(window_start_ms, 3),
    window_end AS TO_TIMESTAMP_LTZ(window_end_ms, 3)
) WITH (
    'connector' = 'kafka',
    'properties.bootstrap.servers' = '127.0.0.1:9092',
    'properties.isolation.level' = 'read_committed',
    'topic' = 'summaries.hourly;summaries.sliding;summaries.sessions;summaries.local_days;summaries.day_so_far;summaries.areas',
    'scan.startup.mode' = 'earliest-offset',
    'value.format' = 'json'
);

-- Every version of every station, and of every limit.
CREATE TABLE station_log (
    sensor_id STRING,
    valid_from_ms BIGINT,
    lon_deg DOUBLE,
    lat_deg DOUBLE,
    time_zone STRING,
    watershed STRING,
    period_ms BIGINT,
    calibrations MAP<STRING, ROW<gain DOUBLE, shift DOUBLE>>,
    log_offset BIGINT METADATA FROM 'offset' VIRTUAL
) WITH (
    'connector' = 'kafka',
    'properties.bootstrap.servers' = '127.0.0.1:9092',
    'properties.isolation.level' = 'read_committed',
    'topic' = 'reference.stations',
    'scan.startup.mode' = 'earliest-offset',
    'value.format' = 'json'
);

CREATE TABLE limit_log (
    region STRING,
    metric STRING,
    valid_from_ms BIGINT,
    limit_value DOUBLE,
    limit_name STRING,
    log_offset BIGINT METADATA FROM 'offset' VIRTUAL
) WITH (
    'connector' = 'kafka',
    'properties.bootstrap.servers' = '127.0.0.1:9092',
    'properties.isolation.level' = 'read_committed',
    'topic' = 'reference.limits',
    'scan.startup.mode' = 'earliest-offset',
    'value.format' = 'json'
);

CREATE TABLE late_summaries WITH ('topic' = 'dlq.late_summaries') LIKE late_events (OVERWRITING OPTIONS);
