"""What installation adds to the locked packages: jars and native libraries."""
