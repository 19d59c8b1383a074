"""An interrupt waits until a step is done, and the account says which one it was."""

import os
import signal

import pytest

from runbooks_lib.actions.keys.interrupts import held_interrupts
from runbooks_lib.commands.change import every_end_is_an_interrupt


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGINT, "an interrupt (SIGINT, as by Ctrl-C)"),
        (signal.SIGTERM, "SIGTERM"),
        (signal.SIGHUP, "the end of its session (SIGHUP)"),
    ],
)
@pytest.mark.parametrize("inherited", [signal.default_int_handler, signal.SIG_IGN])
def test_interrupt_is_held_and_named_whatever_a_shell_had_ignored(number, words, inherited):
    """A background job of a script begins with SIGINT ignored; the second interrupt ends it at once."""
    before = signal.signal(signal.SIGINT, inherited)
    try:
        with every_end_is_an_interrupt(), held_interrupts() as interrupted:
            assert interrupted() == ""
            os.kill(os.getpid(), number)
            assert interrupted() == words
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
        assert signal.getsignal(signal.SIGINT) is inherited
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupt_that_nobody_holds_ends_it_at_once(number):
    """Before the write, and in actions that are one single step."""
    with every_end_is_an_interrupt(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)


def test_hangup_that_nohup_has_ignored_stays_ignored():
    """Somebody asked for it to outlive the session."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with every_end_is_an_interrupt(), held_interrupts() as interrupted:
            os.kill(os.getpid(), signal.SIGHUP)
            assert interrupted() == ""
    finally:
        signal.signal(signal.SIGHUP, before)
