"""Measures Darner against floors and peers in the same run. Prints one JSON line a figure; asserts nothing."""
