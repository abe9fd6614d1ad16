"""Tables 4 to 7 (until networks.py takes their place)."""
