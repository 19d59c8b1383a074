"""Sources read one system each and give frozen facts; the network is touched on call, never on import.

A read has a deadline. It gives a fact with its provenance, or raises ``SourceError`` with the next step. Nothing here
writes to a site.
"""
