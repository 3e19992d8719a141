"""The review engine: what is read, found, found again, and posted."""
