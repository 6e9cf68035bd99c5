"""The outside: HTTP, storage, command line, settings, and one place that wires them."""
