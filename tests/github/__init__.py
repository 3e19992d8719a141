"""Holds every exchange with GitHub, ours and the local forge's, to GitHub's own descriptions."""
