"""One file = one method = its URL scheme."""
