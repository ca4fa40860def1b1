"""Maintenance of a lake: retention and reconciliation."""
