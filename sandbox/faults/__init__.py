"""The faults: what one is (``model``), which ones there are (``registry``), and what each can reach (``stack``)."""
