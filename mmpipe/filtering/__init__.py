"""Judges one row: signals, rules, judge."""
