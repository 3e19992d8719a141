"""Confinement: policy, drivers, checkout and results. Knows nothing of GitHub or of models."""
