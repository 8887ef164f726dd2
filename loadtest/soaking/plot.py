"""Lines over time, as SVG that needs nothing, in the look of `iamd-load report`."""
import html
import math
import pathlib

SOURCE = pathlib.Path(__file__).resolve().parent.parent / "client/src/report/svg.rs"
WIDTH, LEFT, RIGHT, TOP, BOTTOM = 760, 84, 24, 64, 348


def style():
    """That of the load client's plots."""
    text = SOURCE.read_text()
    return text[text.index("<style>"):text.index("</style>")] + "</style>\n"


class Range:
    """Where values lie: from 0, or in decades."""

    def __init__(self, values, decades=False):
        self.decades = decades
        if decades:
            self.least = math.floor(math.log10(max(min(values), 1e-9)))
            self.most = max(math.ceil(math.log10(max(values))), self.least + 1)
        else:
            self.least, self.most = 0, max(max(values) * 1.08, 1e-9)

    def place(self, value):
        value = math.log10(max(value, 1e-9)) if self.decades else value
        return min(max((value - self.least) / (self.most - self.least), 0), 1)

    def ticks(self):
        if self.decades:
            return [10.0 ** power for power in range(self.least, self.most + 1)]
        wanted = self.most / 5
        power = 10 ** math.floor(math.log10(wanted))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= wanted * 0.999)
        return [tick * step for tick in range(int(self.most / step) + 1)]


def short(value):
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.1f}".removesuffix(".0") + name
    return f"{value:.1f}".removesuffix(".0") if value >= 0.1 or value == 0 else f"{value:g}"


def lines(title, x_label, y_label, series, marks, decades=False, ticks=()):
    """`series` are name, colour and points; `marks` are vertical; `ticks` are rows of short ones, each with name and colour."""
    points = [point for _, _, some in series for point in some]
    x, y = Range([point[0] for point in points]), Range([point[1] for point in points], decades)
    x.most = max(point[0] for point in points)
    at_x = lambda value: LEFT + x.place(value) * (WIDTH - LEFT - RIGHT)  # noqa: E731
    at_y = lambda value: BOTTOM - y.place(value) * (BOTTOM - TOP)  # noqa: E731
    title = html.escape(title)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} 400" width="{WIDTH}" height="400" role="img" aria-label="{title}">\n'
           f'{style()}<text class="title" x="12" y="24">{title}</text>']
    at = LEFT
    for name, colour, _ in series:
        out.append(f'<path class="line s{colour}" d="M{at:.1f} 44h22"/>{label(at + 28, 48, "start", name)}')
        at += 28 + len(name) * 6.6 + 22
    for tick in y.ticks():
        out.append(f'<path class="grid" d="M{LEFT} {at_y(tick):.1f}H{WIDTH - RIGHT}"/>{label(LEFT - 8, at_y(tick) + 4, "end", short(tick))}')
    for tick in x.ticks():
        out.append(f'<path class="axis" d="M{at_x(tick):.1f} {BOTTOM}v5"/>{label(at_x(tick), BOTTOM + 20, "middle", short(tick))}')
    middle, centre = (LEFT + WIDTH - RIGHT) / 2, (TOP + BOTTOM) / 2
    out.append(f'<path class="axis" d="M{LEFT} {BOTTOM}H{WIDTH - RIGHT}"/>')
    out.append(f'<text x="{middle:g}" y="390" text-anchor="middle">{html.escape(x_label)}</text>')
    out.append(f'<text transform="translate(22 {centre:g}) rotate(-90)" text-anchor="middle">{html.escape(y_label)}</text>')
    out += [f'<path class="mark" d="M{at_x(mark):.1f} {TOP}V{BOTTOM}"/>' for mark in marks]
    for row, (name, colour, some) in enumerate(ticks):
        height = BOTTOM - 20 - 14 * row
        path = "".join(f"M{at_x(tick):.1f} {height}v8" for tick in some)
        out.append(f'<path class="spread s{colour}" d="{path}"/>{label(LEFT - 8, height + 8, "end", name)}')
    for _, colour, some in series:
        path = "L".join(f"{at_x(point[0]):.1f} {at_y(point[1]):.1f}" for point in some)
        out.append(f'<path class="line s{colour}" d="M{path}"/>')
    return "\n".join(out) + "\n</svg>\n"


def label(x, y, anchor, text):
    return f'<text class="small" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'
