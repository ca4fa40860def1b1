"""`make new`: declarations of a dataset, a mart or a model, from a look at the data, for a person to read."""
