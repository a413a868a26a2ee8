"""Tables that people open, and how they are read again."""
