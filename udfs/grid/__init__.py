"""Several streams on one time grid: a row per place and instant, with every value's method, age and support."""
