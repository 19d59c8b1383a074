"""What a cell showed, made fit to be kept: streams joined, secrets removed."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from runbooks_lib.redaction import redact


def join_streams(outputs: list[Any]) -> list[Any]:
    """Neighbouring pieces of a stream become one, and a progress line keeps its last state.

    Nbclient's ``coalesce_streams`` would do it after each cell. It searches for carriage returns in quadratic time
    (3 s for one line of 60 kB), and it moves outputs while nbclient still remembers their old places, so that a
    display which a later cell updates is not found. This is called once, when nothing can be updated any more.
    """
    joined: list[Any] = []
    for is_stream, group in groupby(outputs, key=lambda output: output.output_type == "stream"):
        if not is_stream:
            joined += group
            continue
        pieces: dict[str, Any] = {}
        for output in group:
            if output.name in pieces:
                pieces[output.name]["text"] += output.text
            else:
                pieces[output.name] = output
        for output in pieces.values():
            output["text"] = _last_state(output.text)
        joined += sorted(pieces.values(), key=lambda output: output.name, reverse=True)
    return joined


def redact_output(output: Any, secrets: tuple[str, ...]) -> None:
    """Remove secrets from an output in place. Pictures are left alone: a secret's letters in base64 mean nothing."""
    for name in ("text", "evalue", "ename"):
        if isinstance(output.get(name), str):
            output[name] = redact(output[name], secrets)
    if "traceback" in output:
        output["traceback"] = [redact(line, secrets) for line in output["traceback"]]
    for mime, data in output.get("data", {}).items():
        if isinstance(data, str) and (not mime.startswith("image/") or mime == "image/svg+xml"):
            output["data"][mime] = redact(data, secrets)


def _last_state(text: str) -> str:
    """What a terminal shows in the end: a carriage return starts the line again."""
    if "\r" not in text:
        return text
    return "\n".join(line.removesuffix("\r").rpartition("\r")[2] for line in text.split("\n"))
