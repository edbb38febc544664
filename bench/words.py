"""How the report writes numbers and names."""


def seconds(value):
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def brief(value):
    """For figures that are often far below a second."""
    return f"{value * 1000:.0f} ms" if value < 1 else seconds(value)


def milliseconds(value):
    return f"{value * 1000:.1f} ms"


def mebibytes(value):
    return f"{value:.0f} MiB"


def size(value):
    """Bytes, down to a kibibyte."""
    return f"{value / 2**10:,.0f} KiB" if value < 1 << 20 else f"{value / 2**20:,.1f} MiB"


def escaped(text):
    """File names and messages of others are no Markdown of ours."""
    plain = "".join(c if c.isprintable() else "?" for c in text).replace("`", "'")
    return f"`{plain}`"


def table(names, *rows):
    """Lines of Markdown: the first column is words, the others are numbers."""
    ruler = ["---", *["---:"] * (len(names) - 1)]
    return ["| " + " | ".join(map(str, cells)) + " |" for cells in (names, ruler, *rows)]
