"""The only place in udfs that imports pyflink: thin classes that read, call and write."""
