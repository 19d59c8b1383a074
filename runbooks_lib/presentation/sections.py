"""The cells of an executed notebook as harmless HTML: prose and outputs, no code.

Three layers keep a stranger's string from running: it was escaped where it was shown, it is sanitised here, and the
page's content security policy allows no script.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runbooks_lib.presentation.text import visible

#: A cell with this tag repeats what stands in the report's first part (verdict, findings, next steps).
IN_SUMMARY_TAG = "in-summary"

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_TAGS = frozenset(
    "a abbr b blockquote br caption code col colgroup dd del details div dl dt em figcaption figure h2 h3 h4 h5 h6 "
    "hr i ins kbd li ol p pre progress s samp small span strong sub summary sup table tbody td tfoot th thead tr u "
    "ul var".split()
)
_ATTRIBUTES = {
    "*": {"style", "title"},
    "th": {"scope", "colspan", "rowspan"},
    "td": {"colspan", "rowspan"},
    "progress": {"value", "max"},
    "a": {"href"},
}
_STYLES = frozenset(
    "background color padding margin margin-top border-left border-radius border-collapse font-weight font-size "
    "line-height text-align overflow-x white-space width".split()
)


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a notebook: base64 PNG and the sentence that states its finding."""

    png: str
    alt: str


def figures(notebook: Mapping[str, Any]) -> tuple[Figure, ...]:
    """All figures of an executed notebook, in their order."""
    found = []
    for cell in notebook.get("cells", []):
        for output in cell.get("outputs", []):
            png = output.get("data", {}).get("image/png")
            if png:
                alt = output.get("metadata", {}).get("image/png", {}).get("alt") or "Figure without a description"
                found.append(Figure(_joined(png).strip(), alt))
    return tuple(found)


def sections(notebook: Mapping[str, Any]) -> str:
    """Prose and outputs of an executed notebook as sanitised HTML; figures and cells of the summary are left out."""
    import nh3

    parts = [part for cell in notebook.get("cells", []) for part in _cell(cell)]
    return nh3.clean(
        visible("\n".join(parts)),
        tags=set(_TAGS),
        attributes={name: set(values) for name, values in _ATTRIBUTES.items()},
        url_schemes={"mailto"},
        filter_style_properties=set(_STYLES),
        link_rel=None,
    )


def _cell(cell: Mapping[str, Any]) -> Iterator[str]:
    tags = set(cell.get("metadata", {}).get("tags", []))
    source = _joined(cell.get("source", ""))
    if IN_SUMMARY_TAG in tags:
        # What went wrong in such a cell is told all the same.
        yield from (_error(output) for output in cell.get("outputs", []) if output.get("output_type") == "error")
    elif cell.get("cell_type") == "markdown":
        yield _markdown(source)
    elif "parameters" not in tags and "injected-parameters" not in tags:
        for output in cell.get("outputs", []):
            yield _output(output)


def _markdown(source: str) -> str:
    import mistune

    render = mistune.create_markdown(escape=True, plugins=["table"])
    page = str(render(source))
    # The page has one main heading, and its sections begin at the second level: a notebook's go below those.
    return re.sub(r"<(/?)h([1-4])>", lambda match: f"<{match[1]}h{int(match[2]) + 2}>", page)


def _output(output: Mapping[str, Any]) -> str:
    from html import escape

    if output.get("output_type") == "error":
        return _error(output)
    if output.get("output_type") == "stream":
        return f"<pre>{escape(_ANSI.sub('', _joined(output.get('text', ''))))}</pre>"
    data = output.get("data", {})
    if "image/png" in data:
        return ""
    if "text/html" in data:
        return _joined(data["text/html"])
    return f"<pre>{escape(_ANSI.sub('', _joined(data.get('text/plain', ''))))}</pre>"


def _error(output: Mapping[str, Any]) -> str:
    from html import escape

    lines = _ANSI.sub("", "\n".join(output.get("traceback", []))) or f"{output.get('ename')}: {output.get('evalue')}"
    name = escape(str(output.get("ename", "Error")))
    return f"<details><summary><b>{name}</b></summary><pre>{escape(lines)}</pre></details>"


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)
