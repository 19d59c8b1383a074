"""The table ``cache_stats``: one row per lookup, written in batches and pruned."""
