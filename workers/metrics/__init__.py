"""What Prometheus may know: of the whole service, of a replica, and of one `vwt run`."""
