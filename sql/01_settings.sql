-- What every session and the job need. Engine settings (checkpoints, memory) are those of the cluster.

-- Windows of time zone UTC. A station's zone is a column of its own (20_views.sql) and never the session's.
SET 'table.local-time-zone' = 'UTC';

-- A reading inside the allowed lateness fires its group window again, at once: a delayed firing would be lost when the
-- watermark passes the end of the lateness in between. Group windows only (TUMBLE, HOP, SESSION in GROUP BY).
SET 'table.exec.emit.late-fire.enabled' = 'true';
SET 'table.exec.emit.late-fire.delay' = '0 s';
-- The same figure as aligned.allowed_lateness_ms in 10_sources.sql, by which late readings are told apart.
SET 'table.exec.emit.allow-lateness' = '1 h';

-- The rows of a summary's key all come from one task and in order: no state is needed to sort them out at the sink.
SET 'table.exec.sink.upsert-materialize' = 'NONE';

-- A view that several inserts read is planned once: the readings are joined, judged and summarised once.
SET 'table.optimizer.reuse-optimize-block-with-digest-enabled' = 'true';

-- table.exec.state.ttl stays unset: it would also forget the metadata of a station that has been silent for so long.
-- With one that no station's silence reaches, ids (19_repeats.sql) are forgotten after it with the stock client, too:
-- SET 'table.exec.state.ttl' = '30 d';
