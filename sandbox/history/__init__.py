"""The past: seven days of samples in Prometheus and of rows in ``cache_stats``, drawn once (``numbers``, ``story``) from
the same profile as the live traffic, for exactly the series that the site exposes (``exposition``, ``series``). The
programs are ``halves`` and ``stats_rows``."""
