"""Where messages come from: each feed brings bytes to the journal, and the answer back."""
