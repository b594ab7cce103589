-- The summaries job. `meridian summaries submit` runs both statement sets as one job; the stock client makes two.

SET 'pipeline.name' = 'meridian-demo-summaries';

-- Group windows of tumbling and sliding kind, revised within the allowed lateness (01_settings.sql).
EXECUTE STATEMENT SET BEGIN
INSERT INTO summaries_hourly SELECT * FROM revised_summaries WHERE definition = 'hourly';
INSERT INTO summaries_sliding SELECT * FROM revised_summaries WHERE definition = 'sliding';
INSERT INTO late_revised SELECT * FROM late_letters WHERE definition IN ('hourly', 'sliding');
END;

-- Sessions and window functions fire once: Flink refuses late firings for them.
SET 'table.exec.emit.late-fire.enabled' = 'false';
SET 'table.exec.emit.allow-lateness' = '0 s';

EXECUTE STATEMENT SET BEGIN
INSERT INTO summaries_sessions SELECT * FROM final_summaries WHERE definition = 'sessions';
INSERT INTO summaries_local_days SELECT * FROM final_summaries WHERE definition = 'local_day';
INSERT INTO summaries_day_so_far SELECT * FROM final_summaries WHERE definition = 'day_so_far';
INSERT INTO summaries_areas SELECT * FROM final_summaries WHERE definition = 'areas';
INSERT INTO late_final SELECT * FROM late_letters WHERE definition NOT IN ('hourly', 'sliding');
END;
