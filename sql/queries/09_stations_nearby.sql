-- Which stations are nearest to Aberdeen, and in which watershed does the map say they are?
SELECT sensor_id, ROUND(GREAT_CIRCLE_M(lon_deg, lat_deg, -2.1, 57.15) / 1000, 1) AS distance_km,
    watershed, WATERSHED(lon_deg, lat_deg) AS on_the_map
FROM newest_stations
ORDER BY distance_km, sensor_id
LIMIT 5;
