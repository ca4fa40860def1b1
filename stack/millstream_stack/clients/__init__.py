"""Clients of the servers that the stack runs."""
