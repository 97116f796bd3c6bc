"""Review environments: a stack for each pull request, removed with it or when its time is over."""
