"""How fast a model is against what the hardware can do, and whether fast is exact."""
