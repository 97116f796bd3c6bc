"""`slip diagram`: a picture of the running stack, as one HTML page that needs nothing else."""
