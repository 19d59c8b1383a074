"""Changing a site: the only folder of the library that writes to one.

=============  ===================================================================================
``plan``       what a change would do: before, after, blast radius, undo, guards, digest
``action``     what every action offers: ``plan`` reads, ``write`` writes, ``read_back`` looks again
``apply``      the one function that carries an action out, or refuses to
``outcome``    what came of it
``site``       the systems of an environment: with reading rights for plans, with writing rights for ``apply``
``registry``   every action by name, so that a command, an undo or a check can be written as text
=============  ===================================================================================

An action is a frozen dataclass of its parameters. Nothing but ``apply`` ever makes a ``WritableSite``; a test holds that.
"""
