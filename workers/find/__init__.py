"""`vwt find`: moments of recorded histories that look like a picture, or like what a text says."""
