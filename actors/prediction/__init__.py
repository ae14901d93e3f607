"""A model's answers: probabilities of given tokens, and tokens of its own."""
