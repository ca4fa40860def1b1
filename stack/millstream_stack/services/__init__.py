"""The services: what each runs, its set-up and its health."""
