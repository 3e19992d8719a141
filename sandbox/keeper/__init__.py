"""The processes that hold a sandbox open and start its commands. They share no memory with the service.

`zygote` is started once by the service, empty-handed, and forks a keeper for each open sandbox. A keeper
builds the sandbox with bubblewrap (`ground`), enters its namespaces and stays (`loop`); each command becomes
a process tree of its own below it (`command`). Nothing inside ever talks to any of them.

Only what the standard library offers cheaply is imported here: the memory of one interpreter is shared by
all keepers, and a keeper inside a sandbox's mounts can import nothing more.
"""
