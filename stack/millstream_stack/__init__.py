"""The embedded stack: processes, ports, secrets, health and the demo run."""
