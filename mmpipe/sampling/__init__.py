"""Chooses among rows: mixing with epochs."""
