"""What a failed CI means and what is done about it. Pure: logs, checks, counters in; decisions out."""
