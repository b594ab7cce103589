-- The topics of the align job and the reference topics, as tables.
--
-- Servers, topics and times are those of the demo deployment on the local stack. `meridian sql` and `meridian
-- summaries` set those of another one with ALTER TABLE after this file; `meridian sql --print-init` shows the statements.

-- Every accepted reading, once.
CREATE TABLE aligned (
    event_id STRING,
    event_id_derived BOOLEAN,
    sensor_id STRING,
    region STRING,
    `stream` STRING,
    metric STRING,
    `value` DOUBLE,
    unit STRING,
    value_original DOUBLE,
    unit_original STRING,
    quality STRING,
    event_time_ms BIGINT,
    ingest_time_ms BIGINT,
    append_time_ms BIGINT,
    stale BOOLEAN,
    lon_deg DOUBLE,
    lat_deg DOUBLE,
    x DOUBLE,
    y DOUBLE,
    z DOUBLE,
    crs_source STRING,
    crs_target STRING,
    transform STRING,
    accuracy_m DOUBLE,
    ballpark BOOLEAN,
    best_available BOOLEAN,
    cell STRING,
    payload_version STRING,
    topic STRING,                       -- of the raw record, as `partition`, `offset` and append_time_ms are
    `partition` INT,
    `offset` BIGINT,
    attributes MAP<STRING, STRING>,
    beyond_dedup_horizon BOOLEAN,
    record_key BYTES,
    aligned_at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
    aligned_partition INT METADATA FROM 'partition' VIRTUAL,
    aligned_offset BIGINT METADATA FROM 'offset' VIRTUAL,
    event_time AS TO_TIMESTAMP_LTZ(event_time_ms, 3),
    -- How long after its end a group window takes readings: table.exec.emit.allow-lateness in 01_settings.sql.
    allowed_lateness_ms AS CAST(3600000 AS BIGINT),
    -- Out-of-orderness and 1 ms, as in the align job.
    WATERMARK FOR event_time AS TO_TIMESTAMP_LTZ(event_time_ms - 30001, 3)
) WITH (
    'connector' = 'kafka',
    'properties.bootstrap.servers' = '127.0.0.1:9092',
    'properties.group.id' = 'meridian-demo-summaries',
    'properties.isolation.level' = 'read_committed',
    'topic' = 'telemetry.aligned',
    'scan.startup.mode' = 'earliest-offset',
    'scan.watermark.emit.strategy' = 'on-periodic',
    'scan.watermark.idle-timeout' = '30000 ms',
    'key.format' = 'raw',
    'key.fields' = 'record_key',
    'value.format' = 'json',
    'value.fields-include' = 'EXCEPT_KEY'
);

-- Every raw record as it came, good or bad. Its time is the broker's: what the sender claims is in the headers.
CREATE TABLE raw_records (
    `value` STRING,
    `key` BYTES,
    headers MAP<STRING, BYTES> METADATA VIRTUAL,
    append_time TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
    `partition` INT METADATA VIRTUAL,
    `offset` BIGINT METADATA VIRTUAL,
    sensor_id AS CAST(headers['sensor_id'] AS STRING),
    event_timestamp AS TRY_CAST(CAST(headers['event_timestamp'] AS STRING) AS BIGINT),
    ingest_timestamp AS TRY_CAST(CAST(headers['ingest_timestamp'] AS STRING) AS BIGINT),
    WATERMARK FOR append_time AS append_time - INTERVAL '1' SECOND
) WITH (
    'connector' = 'kafka',
    'properties.bootstrap.servers' = '127.0.0.1:9092',
    'properties.isolation.level' = 'read_committed',
    'topic' = 'telemetry.raw',
    'scan.startup.mode' = 'earliest-offset',
    'scan.watermark.idle-timeout' = '30 s',
    'key.format' = 'raw',
    'key.fields' = 'key',
    'value.format' = 'raw',
    'value.fields-include' = 'EXCEPT_KEY'
);

-- Every firing of every window of the align job: the highest revision of a window is its result.
CREATE TABLE windows (
    `stream` STRING,
    definition STRING,
    key_kind STRING,
    `key` STRING,
    metric STRING,
    unit STRING,
    window_start_ms BIGINT,
    window_end_ms BIGINT,
    `count` BIGINT,
    mean DOUBLE,
    `min` DOUBLE,
    `max` DOUBLE,
    std DOUBLE,
    `first` DOUBLE,
    first_event_time_ms BIGINT,
    `last` DOUBLE,
    last_event_time_ms BIGINT,
    expected_count DOUBLE,
    completeness DOUBLE,
    sensors BIGINT,
    lon_deg DOUBLE,
    lat_deg DOUBLE,
    x DOUBLE,
    y DOUBLE,
    timing STRING,
    revision BIGINT,
    max_event_time_ms BIGINT,
    emitted_at_ms BIGINT,
    window_end AS TO_TIMESTAMP_LTZ(window_end_ms, 3),
    WATERMARK FOR window_end AS window_end - INTERVAL '30' SECOND
) WITH (
    'connector' = 'kafka',
    'properties.bootstrap.servers' = '127.0.0.1:9092',
    'properties.isolation.level' = 'read_committed',
    'topic' = 'telemetry.windows',
    'scan.startup.mode' = 'earliest-offset',
    'value.format' = 'json'
);

-- Dead letters: readings that were refused.
CREATE TABLE invalid_events (
    reason STRING,
    stage STRING,
    message STRING,
    topic STRING,
    `partition` INT,
    `offset` BIGINT,
    append_time_ms BIGINT,
    key_base64 STRING,
    headers MAP<STRING, STRING>,
    payload_base64 STRING,
    payload_bytes BIGINT,
    payload_sha256 STRING,
    truncated BOOLEAN,
    replayable BOOLEAN,
    replay_of STRING,
    job_version STRING
) WITH (
    'connector' = 'kafka',
    'properties.bootstrap.servers' = '127.0.0.1:9092',
    'properties.isolation.level' = 'read_committed',
    'topic' = 'dlq.invalid_events',
    'scan.startup.mode' = 'earliest-offset',
    'value.format' = 'json'
);

-- Dead letters: readings that missed their windows, one for each definition that they missed.
CREATE TABLE late_events (
    `stream` STRING,
    definition STRING,
    window_start_ms BIGINT,
    window_end_ms BIGINT,
    missed_windows ARRAY<BIGINT>,
    watermark_ms BIGINT,
    event_time_ms BIGINT,
    lateness_ms BIGINT,
    allowed_lateness_ms BIGINT,
    sensor_id STRING,
    metric STRING,
    event_id STRING
) WITH (
    'topic' = 'dlq.late_events'
) LIKE invalid_events (OVERWRITING OPTIONS);

-- What each duplicate repeats, and which sliding windows a partly late reading missed.
CREATE TABLE accounting (
    `class` STRING,
    topic STRING,
    `partition` INT,
    `offset` BIGINT,
    sensor_id STRING,
    event_id STRING,
    repeats_partition INT,
    repeats_offset BIGINT,
    `stream` STRING,
    definition STRING,
    missed_windows ARRAY<BIGINT>,
    watermark_ms BIGINT
) WITH (
    'connector' = 'kafka',
    'properties.bootstrap.servers' = '127.0.0.1:9092',
    'properties.isolation.level' = 'read_committed',
    'topic' = 'telemetry.accounting',
    'scan.startup.mode' = 'earliest-offset',
    'value.format' = 'json'
);

-- Stations: what holds of a sensor from a time on. A station that moves or is recalibrated gets another record, before
-- that time: readings that were summarised without it are not corrected. The topic is compacted, but only beyond the
-- age that readings can have (`meridian summaries topics`), since compaction leaves the newest version alone.
CREATE TABLE stations (
    sensor_id STRING,
    valid_from_ms BIGINT,
    lon_deg DOUBLE,
    lat_deg DOUBLE,
    time_zone STRING,                                                -- tz database name, such as Europe/London
    watershed STRING,
    period_ms BIGINT,                                                -- expected time between readings of a metric
    calibrations MAP<STRING, ROW<gain DOUBLE, shift DOUBLE>>,        -- by metric: calibrated = gain * value + shift
    valid_from AS TO_TIMESTAMP_LTZ(valid_from_ms, 3),
    WATERMARK FOR valid_from AS valid_from,
    PRIMARY KEY (sensor_id) NOT ENFORCED
) WITH (
    'connector' = 'upsert-kafka',
    'properties.bootstrap.servers' = '127.0.0.1:9092',
    'properties.isolation.level' = 'read_committed',
    'topic' = 'reference.stations',
    -- A topic in which nothing happens must not hold readings back for ever.
    'scan.watermark.idle-timeout' = '5 s',
    'key.format' = 'json',
    'value.format' = 'json',
    'sink.parallelism' = '1'
);

-- Limits: what a metric should not exceed in a region, from a time on.
CREATE TABLE limits (
    region STRING,
    metric STRING,
    valid_from_ms BIGINT,
    limit_value DOUBLE,                                              -- in the metric's canonical unit
    limit_name STRING,
    valid_from AS TO_TIMESTAMP_LTZ(valid_from_ms, 3),
    WATERMARK FOR valid_from AS valid_from,
    PRIMARY KEY (region, metric) NOT ENFORCED
) WITH (
    'connector' = 'upsert-kafka',
    'properties.bootstrap.servers' = '127.0.0.1:9092',
    'properties.isolation.level' = 'read_committed',
    'topic' = 'reference.limits',
    'scan.watermark.idle-timeout' = '5 s',
    'key.format' = 'json',
    'value.format' = 'json',
    'sink.parallelism' = '1'
);
