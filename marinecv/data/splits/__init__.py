"""Split a catalog: as published, at random, by class, by groups, in folds, by label fraction."""
