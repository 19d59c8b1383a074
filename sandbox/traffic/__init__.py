"""The traffic of the site.

What a healthy day looks like (``profile``, ``popularity``, ``activity``), who asks for what (``plan``, ``streams``),
the file that says how much (``control``), and the process that sends it (``generator``).
"""
