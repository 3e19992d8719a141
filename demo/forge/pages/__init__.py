"""The forge's web pages: what a person sees and does in a browser; their rules live in `actions`."""
