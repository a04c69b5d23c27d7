"""Redis: what the method `redis` is made of."""
