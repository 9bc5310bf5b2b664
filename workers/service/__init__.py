"""What the parts of the service share: the streams it was given, and what Redis holds of them."""
