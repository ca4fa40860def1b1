"""The formats: one module each, by its name in contracts."""
