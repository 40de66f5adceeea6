"""What every algorithm shares, once."""
