"""GitHub's REST API on the forge, one module for each of GitHub's areas."""
