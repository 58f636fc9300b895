"""What the payment service does in the background: charging, refunding, cleaning up."""
