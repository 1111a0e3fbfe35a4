"""The package format of campaigns, read strictly: what the server takes and what the agent opens are the same files.

Both import this; it imports neither, and does no I/O but through the `Source` that it is given.
"""
