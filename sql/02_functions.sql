-- Spatial functions, vectorised in Python: udfs/flink/sql_functions.py, which says what each does with bad input.
--
-- x is the easting or longitude and y the northing or latitude, whatever the CRS says of its own axes. Arguments are
-- DOUBLE and STRING; other numbers are cast, and a wrong number of arguments is refused before anything runs.
--
-- A bad row gives NULL (missing or infinite numbers, not on Earth, outside the CRS's area of use, an unknown code in a
-- column). A bad constant ends the statement: "TO_CRS: 'EPSG:99999' is no CRS …" is the last line of what the client
-- prints, at once with restart-strategy.type = none, else after the cluster's restarts.
-- Of a ROW the fields are NULL and the row is not: ask for `TO_CRS(…).x IS NULL`. Several fields of one call cost one.
-- A call of constants only fails in Flink's planner (ArrayIndexOutOfBoundsException). Take one of them from a row:
--   SELECT TO_CRS(lon, lat, 'EPSG:4326', 'EPSG:3857').x FROM (VALUES (-2.1, 57.15)) AS t (lon, lat);
--
-- Stations and watersheds are GeoJSON files in WGS 84 whose features have a property `name`, readable under the same
-- path on every TaskManager; without these parameters, small made-up layers of the demo's regions (udfs/layers):
--   SET 'pipeline.global-job-parameters' =
--     'meridian.layers.stations:/data/stations.geojson,meridian.layers.watersheds:/data/watersheds.geojson';

-- TO_CRS(x, y, source, target): ROW<x DOUBLE, y DOUBLE>, what the align job gives for that target CRS.
CREATE TEMPORARY SYSTEM FUNCTION TO_CRS AS 'udfs.flink.sql_functions.to_crs' LANGUAGE PYTHON;

-- CRS_ACCURACY(source, target, x, y): metres, of the operation that TO_CRS takes there; NULL where unknown.
CREATE TEMPORARY SYSTEM FUNCTION CRS_ACCURACY AS 'udfs.flink.sql_functions.crs_accuracy' LANGUAGE PYTHON;

-- CELL(x, y, scheme): the align job's name of the cell. 'grid:10000' takes x, y in the target CRS, 'h3:7' degrees.
CREATE TEMPORARY SYSTEM FUNCTION CELL AS 'udfs.flink.sql_functions.cell' LANGUAGE PYTHON;

-- GREAT_CIRCLE_M(lon1, lat1, lon2, lat2): metres along the geodesic of the WGS 84 ellipsoid.
CREATE TEMPORARY SYSTEM FUNCTION GREAT_CIRCLE_M AS 'udfs.flink.sql_functions.great_circle_m' LANGUAGE PYTHON;

-- NEAREST_STATION(lon, lat): ROW<station STRING, distance_m DOUBLE>; of equally near ones the first by name.
CREATE TEMPORARY SYSTEM FUNCTION NEAREST_STATION AS 'udfs.flink.sql_functions.nearest_station' LANGUAGE PYTHON;

-- WATERSHED(lon, lat): the first watershed of the layer that holds the position, its boundary included.
CREATE TEMPORARY SYSTEM FUNCTION WATERSHED AS 'udfs.flink.sql_functions.watershed' LANGUAGE PYTHON;
