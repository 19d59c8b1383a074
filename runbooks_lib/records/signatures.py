"""Sign and verify text with SSH keys: ``ssh-keygen -Y sign`` and ``-Y verify``.

The namespace keeps a signature made for something else (a git commit, a file) from counting as an approval.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from runbooks_lib.errors import RefusedError
from runbooks_lib.redaction import one_line

NAMESPACE = "runbooks-approval"
PROGRAM = "ssh-keygen"
#: A key that must be touched, or a passphrase that must be typed, takes a person some time.
SIGN_SECONDS = 60.0
_VERIFY_SECONDS = 10.0
_MISSING = "install OpenSSH 8.1 or later (Debian: apt install openssh-client)"


def sign(text: str, key: Path) -> str:
    """The text's signature, armored.

    Args:
        text: what is signed.
        key: a private key, or a public one whose private half is in the SSH agent.

    Raises:
        RefusedError: ssh-keygen is missing, or could not sign with that key.
    """
    if not key.is_file():
        raise RefusedError(f"the key {key} does not exist", hint="give the path of your SSH key")
    command = [PROGRAM, "-Y", "sign", "-q", "-n", NAMESPACE, "-f", str(key)]
    done = _run(command, text, SIGN_SECONDS)
    if done.returncode or "BEGIN SSH SIGNATURE" not in done.stdout:
        raise RefusedError(f"ssh-keygen did not sign with {key}: {_words(done)}", hint=_sign_hint(key, done))
    return done.stdout


def verify(text: str, signature: str, *, principal: str, allowed_signers: Path) -> None:
    """Did this principal sign exactly this text?

    Args:
        text: what was signed.
        signature: armored.
        principal: as it stands in ``allowed_signers``.
        allowed_signers: the file, as ssh-keygen describes it under ALLOWED SIGNERS.

    Raises:
        RefusedError: no; or ssh-keygen or the file is missing.
    """
    name = one_line(principal, longest=80)
    if not allowed_signers.is_file():
        raise RefusedError(
            f"the file of allowed signers, {allowed_signers}, does not exist",
            hint="create it, or correct [approvals] allowed_signers in runbooks.toml",
        )
    if not signature.strip():
        raise RefusedError(
            f"the approval of {name} is not signed", hint=f"approve it with a key that {allowed_signers} names"
        )
    done = _verified(text, signature, principal, allowed_signers)
    if not done.returncode:
        return
    if _is_stranger(principal, allowed_signers):
        hint = f"somebody who is there approves, or a line is added: {name} ssh-ed25519 AAAA…"
        raise RefusedError(f"{name} is not in {allowed_signers}", hint=hint)
    raise RefusedError(
        f"the signature of {name} does not hold ({_words(done)})",
        hint=f"approve it again, with the key that {allowed_signers} has for {name}",
    )


def also_signs_for(text: str, signature: str, *, principal: str, allowed_signers: Path) -> bool:
    """Would the same signature count as this principal's as well: is it one key under two names?

    Raises:
        RefusedError: ssh-keygen is missing.
    """
    return _verified(text, signature, principal, allowed_signers).returncode == 0


def _verified(text: str, signature: str, principal: str, allowed_signers: Path) -> subprocess.CompletedProcess[str]:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".sig") as file:
        file.write(signature)
        file.flush()
        command = [PROGRAM, "-Y", "verify", "-f", str(allowed_signers), "-I", principal, "-n", NAMESPACE]
        return _run([*command, "-s", file.name], text, _VERIFY_SECONDS)


def _is_stranger(principal: str, allowed_signers: Path) -> bool:
    """Is there no line for this name? Patterns in the file (``*@example.com``) match as ssh-keygen has them match."""
    command = [PROGRAM, "-Y", "match-principals", "-I", principal, "-f", str(allowed_signers)]
    return "No principal matched" in _run(command, "", _VERIFY_SECONDS).stderr


def _run(command: Sequence[str], text: str, seconds: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - an argument list; the text is on standard input, nothing is a shell's
            command, input=text, capture_output=True, encoding="utf-8", errors="replace", timeout=seconds, check=False
        )
    except FileNotFoundError as error:
        problem = f"{PROGRAM} is not installed: approvals cannot be signed or checked"
        raise RefusedError(problem, hint=_MISSING) from error
    except subprocess.TimeoutExpired as error:
        problem = f"{PROGRAM} did not end within {seconds:.0f} s"
        raise RefusedError(problem, hint="does the key wait for a touch or a passphrase?") from error


def _words(done: subprocess.CompletedProcess[str]) -> str:
    return one_line(done.stderr or done.stdout) or f"it ended with {done.returncode}"


def _sign_hint(key: Path, done: subprocess.CompletedProcess[str]) -> str:
    if "passphrase" in done.stderr.lower():
        return f"load it into the agent first: ssh-add {key}"
    return f"try it by hand: echo test | {PROGRAM} -Y sign -n {NAMESPACE} -f {key}"
