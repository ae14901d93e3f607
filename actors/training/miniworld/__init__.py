"""Training of the models that ship with the project, and the text they read."""
