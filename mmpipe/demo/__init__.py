"""Makes the sample crawl of the demo and its tiny checkpoint: generated pages and drawn pictures."""
