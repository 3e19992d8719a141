"""The agent runtime: threads, turns, items, the loop, tools and model wires. Knows nothing of GitHub."""
