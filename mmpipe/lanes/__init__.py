"""Composes the rooms below for one shard at a time: what is read, which pure functions run, what is committed."""
