"""The lake: zones, table addresses, and the only code that writes Delta."""
