"""POSIX message queues: what the method `mq` is made of."""
