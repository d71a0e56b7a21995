"""marinecv: from a folder of wildlife images to a classifier whose score can be believed."""
