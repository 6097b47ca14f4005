"""Touches Dagster: one file per lane, with partitions, sensors, checks, resources and jobs beside them."""

import gc

# where Dagster is loaded by now, as in a code server, it stays: the collector shall not look through it again and again
# while assets are defined, a sixth of the time that the definitions take
gc.freeze()
