"""What `vwt serve` starts around the application: Redis, Ray, the first streams, a status line."""
