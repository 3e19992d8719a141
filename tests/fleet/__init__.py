"""Several processes on one PostgreSQL: what happens when they die, freeze and wake up."""
