"""Is this environment sound? Every check is executed, each apart from the others; nothing here needs more than Python."""
