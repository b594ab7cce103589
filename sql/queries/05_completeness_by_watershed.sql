-- How complete is each watershed's record? What came of what its stations should have sent.
SELECT `key` AS watershed, metric, SUM(`count`) AS readings, SUM(expected_count) AS expected,
    ROUND(SUM(`count`) / SUM(expected_count), 3) AS completeness, MAX(sensors) AS sensors
FROM summaries
WHERE definition = 'areas' AND key_kind = 'watershed'
GROUP BY `key`, metric
ORDER BY completeness, watershed, metric;
