r"""A declared table as LaTeX: `booktabs` rules, `threeparttable` notes, nothing else needed.

`\input` the file where the table is to stand; its preamble line says which packages to load.
"""

from __future__ import annotations

import re
from itertools import groupby

from emoadapt.reporting.declared.grid import Grid, Line

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "×": r"$\times$",
    "→": r"$\rightarrow$",
    "<": r"$<$",
    ">": r"$>$",
    "†": r"$^{\dagger}$",
    "–": "--",
    "…": r"\ldots{}",
    "“": "``",
    "”": "''",
    "’": "'",
}


def escape_latex(text: str) -> str:
    r"""Text for LaTeX: special characters escaped, signs as mathematics, stars after a digit raised.

    The star of a product (`.5*O2`) stays on the line: only stars at the end of a number's cell are raised.
    """
    raised = re.sub(r"(?<=\d)(\*+|†+)(?=$|\s)", lambda found: f"\0{len(found[1])}{found[1][0]}\0", text)
    plain = "".join(_SPECIAL.get(character, character) for character in re.sub(r"\0\d[*†]\0", "\0", raised))
    signs = iter(re.findall(r"\0(\d)([*†])\0", raised))

    def put(_: re.Match[str]) -> str:
        count, sign = next(signs)
        return "$^{" + int(count) * ("*" if sign == "*" else r"\dagger") + "}$"

    text = re.sub("\0", put, plain)
    # Behind a line's end (`\\\\`) and `\\item`, these would be read as their arguments.
    return "{}" + text if text.startswith(("[", "*")) else text


def write_latex(grid: Grid, name: str, footnotes: list[str]) -> str:
    r"""A complete `table` environment.

    Args:
        grid: the table.
        name: its name; the label is `tab:<name>`.
        footnotes: sentences below it.
    """
    stubs, width = len(grid.stubs), len(grid.stubs) + len(grid.columns)
    kind = "table*" if width > 5 else "table"
    body: list[str] = []
    for number, line in enumerate(grid.lines):
        if number and line.kind in ("part", "value") and grid.lines[number - 1].kind != "part":
            body.append(r"\midrule" if line.kind == "part" else r"\addlinespace")
        body.append(_write_line(line, stubs, width))
    lines = [
        r"% \usepackage{booktabs,threeparttable}",
        rf"\begin{{{kind}}}",
        r"\centering\footnotesize",
        r"\begin{threeparttable}",
        rf"\caption{{{escape_latex(grid.title)}}}",
        rf"\label{{tab:{name}}}",
        rf"\begin{{tabular}}{{{'l' * stubs}{'c' * len(grid.columns)}}}",
        r"\toprule",
        *_write_heads(grid),
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\begin{tablenotes}\footnotesize",
        *(rf"\item {escape_latex(note)}" for note in footnotes),
        r"\end{tablenotes}",
        r"\end{threeparttable}",
        rf"\end{{{kind}}}",
    ]
    return "\n".join(lines) + "\n"


def _write_heads(grid: Grid) -> list[str]:
    r"""A line per level of headings; equal neighbours share one, with a rule below."""
    lines, levels = [], len(grid.columns[0]) if grid.columns else 0
    for level in range(levels):
        last = level == levels - 1
        cells, rules, place = [], [], len(grid.stubs) + 1
        # On the last level each column has its own heading; above it, neighbours with the same headings so far share one.
        keys = [(column[: level + 1], number if last else 0) for number, column in enumerate(grid.columns)]
        for (path, _), members in groupby(keys):
            size = len(list(members))
            text = escape_latex(path[-1])
            cells.append(text if size == 1 else rf"\multicolumn{{{size}}}{{c}}{{{text}}}")
            if size > 1:
                rules.append(rf"\cmidrule(lr){{{place}-{place + size - 1}}}")
            place += size
        stubs = [escape_latex(stub) if last else "" for stub in grid.stubs]
        lines.append(" & ".join([*stubs, *cells]) + r" \\")
        if rules:
            lines.append("".join(rules))
    return lines


def _write_line(line: Line, stubs: int, width: int) -> str:
    if line.kind == "part":
        return rf"\multicolumn{{{width}}}{{l}}{{\textit{{{escape_latex(line.stub[0])}}}}} \\"
    stub = [escape_latex(text) for text in line.stub]
    if line.note:
        return " & ".join([*stub, rf"\multicolumn{{{width - stubs}}}{{l}}{{{escape_latex(line.note)}}}"]) + r" \\"
    cells = [escape_latex(cell) for cell in line.cells]
    if line.kind == "value":
        return " & ".join([*stub, *cells]) + r" \\"
    small = [rf"{{\scriptsize {text}}}" if text else "" for text in (*stub, *cells)]
    return " & ".join(small) + r" \\"
