"""What messages mean: no I/O, no threads, no clock in this room."""
