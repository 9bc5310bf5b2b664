"""What compression costs a stream, found out while it runs: audits, their bounds, and who acts on them."""
