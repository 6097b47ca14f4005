"""Touches Dagster: one file per lane, with partitions, sensors, checks, resources and jobs beside them."""
