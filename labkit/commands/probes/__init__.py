"""The instruments in the terminal: one module each, with one command of the same name (dashes for underscores)."""
