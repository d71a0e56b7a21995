"""Generated demo images: drawn underwater scenes for machines where no photographs are at hand."""
