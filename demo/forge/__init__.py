"""The local forge: a GitHub in one process, with real git, for trying and testing without an account."""
