"""Staged rows to published tables: fate, decisions, quarantine."""
