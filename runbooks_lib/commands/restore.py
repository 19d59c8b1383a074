"""``runbooks restore``: a scratch server that serves a backup, to look into it. Never a site."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from runbooks_lib.commands import console


def add(commands: Any) -> None:
    """Declare the command."""
    parser = console.command(
        commands, "restore", restore, "prove a backup and serve it from a scratch Redis on this machine; never a site"
    )
    parser.add_argument("file", type=Path, help="a backup's folder, its manifest.json, or one .rdb file")


def restore(arguments: argparse.Namespace) -> int:
    """Start the scratch servers, which stay up; say how to look into them and how to end them."""
    from runbooks_lib.actions.backup.restore import restore_into_scratch
    from runbooks_lib.presentation.text import plain

    restored = restore_into_scratch(arguments.file)
    proof = "as it was made" if restored.proof.confirmed else "not proved"
    console.say(f"Restored into {len(restored.scratches)} scratch server(s), no site was touched · backup {proof}")
    if restored.proof.detail:
        console.say(f"  {plain(restored.proof.detail)}")
    for scratch in restored.scratches:
        console.say(f"\n{plain(str(scratch.file))}")
        for item in scratch.evidence:
            console.say(f"  {plain(item.name)}: {plain(item.value)}")
        console.say(f"  look into it  {plain(scratch.connect_command)}\n  end it        {plain(scratch.stop_command)}")
    return 0
