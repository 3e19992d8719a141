"""Measures Darner against floors and peers in the same run. Prints a JSON line a figure; asserts nothing."""
