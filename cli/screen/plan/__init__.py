"""A preview in words: what will happen to whom, and who notices. Pure functions of the engine's steps."""
