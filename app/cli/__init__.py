"""The verbs of the command line, one file each. Importing one loads nothing heavy; running it may."""
