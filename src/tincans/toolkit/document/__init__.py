"""One JSON document as a place to meet: what the method `file` is made of."""
