"""Arrays that a frozen network makes of images, computed once and kept."""
