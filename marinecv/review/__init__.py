"""Images that a person looks at: what to look at next, the answers, and what they say of a model."""
