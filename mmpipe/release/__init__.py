"""Renders rows for a trainer: chat formats, preference formats, packed tokens, dataset card."""
