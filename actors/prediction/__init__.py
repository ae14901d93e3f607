"""What a model answers: probabilities of given tokens, and tokens of its own."""
