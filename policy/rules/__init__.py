"""The rules. Each file of this folder is read; a rule of your own is one more file."""
