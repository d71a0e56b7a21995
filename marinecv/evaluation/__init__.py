"""Everything asked of a predictions table: metrics, intervals, comparisons."""
