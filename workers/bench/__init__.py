"""`vwt bench`: what each tokenizer saves, what it costs in fidelity, and what doing without would give."""
