"""What sources promise: dataset contracts, and how deliveries differ from them."""
