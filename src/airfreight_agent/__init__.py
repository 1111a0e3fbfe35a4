"""The device side of Airfreight: an agent for Linux devices, and a simulator of thousands. It speaks only the wire."""
