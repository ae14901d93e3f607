"""The families of models that are proven, and a model's sites laid out for people."""
