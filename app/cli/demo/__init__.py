"""`darner demo`: what can be played on this machine, one file each, and the stage it is played on."""
