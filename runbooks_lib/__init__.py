"""Executable runbooks for operating a Django site's Redis cache.

Layers, imports go down only (held by ``tests/unit/test_architecture.py``):

4  ``cli``                                    the command ``runbooks``
3  ``runbook``, ``execution``, ``triage``, ``presentation``   run a runbook, show it
2  ``actions``                                plan, apply, read back: the only place that writes to a site
1  ``sources`` | ``judgement`` | ``records``  read one system | judge facts | keep what happened
0  ``model``, ``facts``, ``errors``, ``config``, ``policy``   the words

Importing this package does no work and loads nothing heavy.
"""

__version__ = "0.3.0"
