"""`vwt run`: one stream in one process."""
