"""What GitHub events mean. Pure: `(event, view) -> effects`; no I/O anywhere in this package."""
