"""What became of a patch, as `patch_states` tells it. Free of torch, for who only draws it."""

# Recalled ones were not computed anew at all.
INTACT, MERGED, DROPPED, RECALLED = 0, 1, 2, 3
