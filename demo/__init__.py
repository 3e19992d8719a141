"""A GitHub and a model that run beside the bot. Used by `darner demo`, `darner forge` and the tests."""
