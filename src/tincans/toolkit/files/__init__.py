"""Files, directories and locks: private, checked, watched, released by the kernel."""
