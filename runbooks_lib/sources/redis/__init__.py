"""The site's Redis, wherever it lies: one server, behind Sentinel, a cluster. Reads only."""
