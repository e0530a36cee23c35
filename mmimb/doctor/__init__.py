"""Is this environment sound? Every check runs in a process of its own. Nothing here needs more than Python itself."""
