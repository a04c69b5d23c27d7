"""For method-writers: byte streams, sealed memory, the runtime directory, locks."""
