"""The commands of ``runbooks`` that plan, make, approve and follow changes; ``cli`` puts them all together.

Each module offers ``add(commands)``, which declares its options and imports nothing that takes time.
"""
