"""From a folder to weights in their place: one device or several, adapters merged, whole."""
