"""Benchmarks: what the platform costs against hand-written scripts that do the same work."""
