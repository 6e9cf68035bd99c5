"""The centre: what a leak is, what may be asked of it, what may go wrong."""
