"""Changing a site: the only folder of the library that writes to one.

=============  ===================================================================================
``plan``       what a change would do: before, after, blast radius, undo, guards, digest
``action``     what every action offers: ``plan`` reads, ``write`` writes, ``read_back`` looks again
``apply``      the one function that carries an action out, or refuses to
``dry_run``    what ``apply`` does without a confirmation
``check``      what came of a change whose outcome nobody knows
``outcome``    what came of it
``desk``       who acts, and where it is written down
``call``       one call of ``apply``
``keeper``     the locks of one change, kept alive
``site``       the systems of an environment: with reading rights for plans, with writing rights for ``apply``
``registry``   every action by name, so that a command, an undo or a check can be written as text
=============  ===================================================================================

The actions themselves are in ``flags``, ``warming``, ``keys`` and ``backup``, and in ``throttling`` and
``redis_settings``. What flags and warming run inside the site is ``on_site_writes``, sent as ``site_program`` puts it
together. An action is a frozen dataclass of its parameters. Nothing but ``apply`` makes a ``WritableSite``;
a test holds that.
"""
