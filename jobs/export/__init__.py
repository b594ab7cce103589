"""Writes topics to files that others read: Parquet with positions (GeoParquet), NetCDF by the CF conventions, CSV.

`tables` declares what a topic's records hold, `select` chooses records, `final` keeps the last revision of each,
`batches` makes columns of them, and `parquet`, `netcdf` and `csv_file` write those. None of them knows Kafka.
"""
