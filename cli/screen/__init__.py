"""What people read while Pulumi works: an update's progress, a preview in words, and the end of a failed run."""
