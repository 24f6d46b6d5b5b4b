"""Container images: references, registries, the check, and the recipes of the platform's own images."""
