"""The compiler core: from a network and a chip to verified instruction streams. Knows no solver library and no
search."""
