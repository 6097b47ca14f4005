"""Makes rows the crawl never had: one file per method."""
