"""Visual words for people: learning them to a file, and looking at them."""
