-- The summaries' topics: the newest record of a key is the summary of that window. Their columns are summary_log's.

CREATE TABLE summaries_hourly (
    PRIMARY KEY (definition, key_kind, `key`, metric, unit, window_start_ms, window_end_ms) NOT ENFORCED
) WITH (
    'connector' = 'upsert-kafka',
    'properties.bootstrap.servers' = '127.0.0.1:9092',
    'properties.isolation.level' = 'read_committed',
    'properties.transaction.timeout.ms' = '600000',
    'properties.compression.type' = 'lz4',
    'topic' = 'summaries.hourly',
    'key.format' = 'json',
    'value.format' = 'json',
    -- A revision takes the old row back and writes the new one: only the last change of a key is written.
    'sink.buffer-flush.max-rows' = '10000',
    'sink.buffer-flush.interval' = '1 s',
    'sink.delivery-guarantee' = 'exactly-once',
    'sink.transactional-id-prefix' = 'meridian-demo-summaries-hourly'
) LIKE summary_log (EXCLUDING OPTIONS EXCLUDING GENERATED EXCLUDING METADATA);

CREATE TABLE summaries_sliding WITH (
    'topic' = 'summaries.sliding',
    'sink.transactional-id-prefix' = 'meridian-demo-summaries-sliding'
) LIKE summaries_hourly (OVERWRITING OPTIONS);

CREATE TABLE summaries_sessions WITH (
    'topic' = 'summaries.sessions',
    'sink.transactional-id-prefix' = 'meridian-demo-summaries-sessions'
) LIKE summaries_hourly (OVERWRITING OPTIONS);

CREATE TABLE summaries_local_days WITH (
    'topic' = 'summaries.local_days',
    'sink.transactional-id-prefix' = 'meridian-demo-summaries-local_days'
) LIKE summaries_hourly (OVERWRITING OPTIONS);

CREATE TABLE summaries_day_so_far WITH (
    'topic' = 'summaries.day_so_far',
    'sink.transactional-id-prefix' = 'meridian-demo-summaries-day_so_far'
) LIKE summaries_hourly (OVERWRITING OPTIONS);

CREATE TABLE summaries_areas WITH (
    'topic' = 'summaries.areas',
    'sink.transactional-id-prefix' = 'meridian-demo-summaries-areas'
) LIKE summaries_hourly (OVERWRITING OPTIONS);

-- Dead letters of the summaries, with the record of dlq.late_events; one sink for each statement set.
CREATE TABLE late_revised WITH (
    'topic' = 'dlq.late_summaries',
    'sink.delivery-guarantee' = 'exactly-once',
    'sink.transactional-id-prefix' = 'meridian-demo-late-revised',
    'properties.transaction.timeout.ms' = '600000'
) LIKE late_events (OVERWRITING OPTIONS);
CREATE TABLE late_final WITH (
    'topic' = 'dlq.late_summaries',
    'sink.delivery-guarantee' = 'exactly-once',
    'sink.transactional-id-prefix' = 'meridian-demo-late-final',
    'properties.transaction.timeout.ms' = '600000'
) LIKE late_events (OVERWRITING OPTIONS);
