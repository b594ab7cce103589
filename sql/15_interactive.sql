-- For questions: read what is there now, and end. Leave this file out to follow the topics.

SET 'execution.runtime-mode' = 'batch';
SET 'sql-client.execution.result-mode' = 'TABLEAU';
-- A query whose function fails must say so: the cluster's own strategy would try again for minutes.
SET 'restart-strategy.type' = 'none';
SET 'pipeline.name' = 'meridian-query';

-- A batch has no watermark; with one, the client refuses views of the table.
ALTER TABLE aligned DROP WATERMARK;
ALTER TABLE raw_records DROP WATERMARK;
ALTER TABLE windows DROP WATERMARK;

ALTER TABLE aligned SET ('scan.bounded.mode' = 'latest-offset');
ALTER TABLE raw_records SET ('scan.bounded.mode' = 'latest-offset');
ALTER TABLE windows SET ('scan.bounded.mode' = 'latest-offset');
ALTER TABLE late_events SET ('scan.bounded.mode' = 'latest-offset');
ALTER TABLE invalid_events SET ('scan.bounded.mode' = 'latest-offset');
ALTER TABLE accounting SET ('scan.bounded.mode' = 'latest-offset');
ALTER TABLE summary_log SET ('scan.bounded.mode' = 'latest-offset');
ALTER TABLE late_summaries SET ('scan.bounded.mode' = 'latest-offset');
ALTER TABLE station_log SET ('scan.bounded.mode' = 'latest-offset');
ALTER TABLE limit_log SET ('scan.bounded.mode' = 'latest-offset');
