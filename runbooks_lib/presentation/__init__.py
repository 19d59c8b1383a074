"""How people see a run: in the terminal, in a notebook, as a figure, as a report."""
