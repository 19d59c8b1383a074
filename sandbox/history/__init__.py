"""The past of the site: seven days of samples in Prometheus, and of rows in ``cache_stats``.

Both are drawn from the same profile as the live traffic (``numbers``, ``story``), for exactly the series that the site
exposes (``exposition``, ``series``). The programs are ``halves`` and ``stats_rows``.
"""
