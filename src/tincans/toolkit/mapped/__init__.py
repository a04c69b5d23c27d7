"""Records and lines in the pages of a file: what the method `mmap` is made of."""
