"""What fills and draws the exhibits of the latent-process study."""
