"""Make Jupyter's libraries start faster in this process.

``jsonschema`` registers checks for the formats ``iri`` and ``iri-reference`` when ``rfc3987_syntax`` can be imported,
and that import compiles some 35 grammars, which takes 0.75 to 0.9 s on a usual machine. JupyterLab's requirements
install it. No notebook is validated against those two formats, and ``jsonschema`` does without the checks when the
import fails; this makes it fail, in this process only.

A kernel needs none of it: ``ipykernel`` does not import ``jsonschema``.
"""

from __future__ import annotations

import sys

_SLOW = "rfc3987_syntax"


def skip_slow_imports() -> None:
    """Call this before ``nbformat``, ``papermill`` or ``nbconvert`` is first imported; later calls change nothing.

    Only for our own entry points: a program that checks IRIs with ``jsonschema`` would find the two formats missing.
    """
    if "jsonschema" not in sys.modules:
        # None in sys.modules makes ``import rfc3987_syntax`` raise ImportError at once (documented for sys.modules).
        sys.modules.setdefault(_SLOW, None)  # type: ignore[arg-type]
