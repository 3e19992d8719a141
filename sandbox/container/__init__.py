"""The docker driver: a container for each open sandbox. Starts at `driver`."""
