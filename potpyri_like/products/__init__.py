"""What people open: tables, plots, the page of the night."""
