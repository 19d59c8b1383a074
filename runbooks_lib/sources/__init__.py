"""Sources read one system each and give frozen facts; the network is touched on call, never on import.

============  ====================================================================
``redis``     the cache's Redis: one server, behind Sentinel, a cluster
``keyspace``  the names of its keys, looked at without harming anybody
``rdb``       what it saved, and a scratch server of our own that loads it
``metrics``   the site's metrics, in Prometheus or from two expositions
``site``      its pages, and its own code through ``manage.py shell``
============  ====================================================================

A read has a deadline. It gives a fact with its provenance, or raises ``SourceError`` with the next step. Nothing here
writes to a site.
"""
