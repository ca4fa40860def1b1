"""The landing zone: bytes as received, and a manifest a run."""
