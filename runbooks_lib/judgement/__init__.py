"""Pure functions: facts in, findings out. Nothing here touches a network, a file or a clock."""
