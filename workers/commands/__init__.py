"""The commands of `vwt`, one file each."""
