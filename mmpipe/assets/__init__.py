"""Touches Dagster: one file per lane, with partitions, sensors, checks, resources and jobs beside them."""

import gc

# Dagster is loaded by now and stays: the collector shall not look through it again and again while assets are defined,
# a sixth of the time that the definitions take
gc.freeze()
