"""`vwt serve`: starts Ray, Redis and the application, and says how it goes."""
