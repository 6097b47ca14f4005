"""Says what a row is: schemas, lineage columns, removals, and keep, the only place where rows disappear."""
