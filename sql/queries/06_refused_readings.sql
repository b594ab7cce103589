-- What is refused, and why?
SELECT reason, stage, COUNT(*) AS readings, MIN(message) AS example
FROM invalid_events
GROUP BY reason, stage
ORDER BY readings DESC, reason;
