"""Rules that every plan of a stack keeps. `slip preview` checks them, and so does a Pulumi policy host."""
