"""What passes at the sites of a model that is left as it is; never changes it."""
