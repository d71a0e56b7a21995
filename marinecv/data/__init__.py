"""What the images are: manifests, readers, labels, catalog, splits."""
