"""Landed rows as text, and how they are typed."""
