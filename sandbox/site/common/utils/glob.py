"""Names inside Redis patterns."""

import re

_SPECIAL = re.compile(r"([*?\[\]\\])")


def glob_escape(name: str) -> str:
    r"""``name`` as a pattern that matches only itself: ``a[1]*`` becomes ``a\[1\]\*``."""
    return _SPECIAL.sub(r"\\\1", name)
