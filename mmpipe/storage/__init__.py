"""Touches disk and network: WARC, sharded Parquet with atomic commit and resume, WebDataset, object stores."""
