"""Chooses among rows: mixing with epochs; balance by queries, noun phrases and concepts."""
