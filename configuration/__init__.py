"""How the stack's settings are checked and described; `settings.py` holds the settings themselves."""
