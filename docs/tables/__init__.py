"""The generated parts of the papers, each from the code that it tells of."""
