"""Rewrites one row: pages to text, pages to image candidates, cleaning."""
