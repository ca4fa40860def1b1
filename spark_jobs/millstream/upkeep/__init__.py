"""What is done to a lake over time: retention, reconciliation."""
