"""What happened, kept: the ledger of events, the folder of each run, and the check that both are as they were written.

=============  ==================================================================================
``ledger``     the append-only table of events, each with the hash of the one before
``leases``     locks: who may change what, until when
``proposals``  plans that were shown
``approvals``  who approved them
``approval``   one of them: what it says, and what its signature is over
``intentions`` changes: begun, ended, in doubt, checked
``checklists`` deployment checklists: what was measured, signed and waived
``baselines``  a day before a release, to hold it against
``signatures`` sign and verify text with SSH keys
``people``     are two names the same person's?
``run_record`` one run: its folder, its events, its ``record.json``
``run_state``  running, finished, failed or interrupted
``verify``     recompute every hash, and name what is missing, added or changed
``event``      one event and its hash
``chain``      find what was done to a chain of events
``database``   SQLite and PostgreSQL behind one small interface
``schema``     its tables
``cursor``     its statements
``files``      write files whole, hash them, hash the cells of a notebook
``origin``     who, on which machine, with which versions
=============  ==================================================================================
"""
