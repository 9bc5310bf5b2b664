"""What a fixed camera's picture is made of: what changed in it, and in which state its zones are."""
