"""What ``make bench`` measures. ``run.py`` prints it as one JSON object."""
