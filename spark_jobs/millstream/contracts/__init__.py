"""Dataset contracts, and how deliveries differ from them."""
