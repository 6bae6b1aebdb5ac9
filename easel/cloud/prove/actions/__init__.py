"""What the steps do in the account and with the service, and what they see."""
