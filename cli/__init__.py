"""What the commands share: how they begin and end, their options, what they write."""
