"""What people type: ``mmimb COMMAND``, one module per command."""
