"""Light curves in the formats of other programs."""
