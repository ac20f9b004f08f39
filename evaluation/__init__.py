"""What an evaluation measures, and its tables."""
