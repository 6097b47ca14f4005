"""Compares rows: exact, MinHash near-duplicates, clusters, images."""
