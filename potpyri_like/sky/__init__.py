"""What catalogues and archives know of the sky; asked only where the user allows it."""
