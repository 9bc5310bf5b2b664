"""One API and one page over several services that know nothing of each other."""
