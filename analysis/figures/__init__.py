"""How a figure looks: pure functions from small tidy frames to drawings, one file per kind."""
