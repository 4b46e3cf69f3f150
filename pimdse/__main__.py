"""`python -m pimdse`."""

from pimdse.cli import main

if __name__ == "__main__":
    main()
