"""Names and messages from model files, made safe to print: a file must not be able to steer the user's terminal."""


def printable(text: str) -> str:
    """The text with every character that is not printable, line breaks excepted, as its escape: ESC becomes \\x1b."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii") for c in text)
