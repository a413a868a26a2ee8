"""`python -m potpyri_like` is `reduce`."""

from potpyri_like.cli import main

if __name__ == "__main__":
    main()
