//! Plots, as SVG that needs nothing: legible on light and dark pages.

use std::fmt::Write;

/// How values lie along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// From 0.
    Linear,
    Log,
    /// From where the values begin, for times.
    Time,
    /// Quantiles, by how few are above: 90 % is one step, 99 % two.
    Nines,
}

#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) label: &'static str,
    pub(super) scale: Scale,
}

/// A line; `colour` is its place in the palette.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) colour: usize,
    pub(super) dashed: bool,
    pub(super) points: Vec<Point>,
}

/// x, y, and the least and most that y was.
pub(super) type Point = (f64, f64, Option<(f64, f64)>);

/// A bar, or several beside each other.
#[derive(Clone, Debug)]
pub(super) struct Bars {
    pub(super) label: String,
    /// Colour, value, least and most.
    pub(super) values: Vec<(usize, f64, f64, f64)>,
}

const WIDTH: f64 = 760.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 24.0;

/// Blue, amber, green, violet, red: told apart without colour vision by lightness, and by the legend's order.
const STYLE: &str = "<style>
text { font: 13px system-ui, sans-serif; fill: #1f2937 }
.title { font-size: 15px; font-weight: 600 }
.small { font-size: 12px; fill: #4b5563 }
.grid { stroke: #d1d5db; stroke-width: 1 }
.axis { stroke: #6b7280; stroke-width: 1 }
.mark { stroke: #9ca3af; stroke-width: 1; stroke-dasharray: 2 3 }
.line { fill: none; stroke-width: 2; stroke-linejoin: round }
.dashed { stroke-dasharray: 6 4 }
.spread { stroke-width: 1.5 }
.s0 { stroke: #2563eb } .f0 { fill: #2563eb }
.s1 { stroke: #b45309 } .f1 { fill: #d97706 }
.s2 { stroke: #047857 } .f2 { fill: #059669 }
.s3 { stroke: #7c3aed } .f3 { fill: #7c3aed }
.s4 { stroke: #dc2626 } .f4 { fill: #dc2626 }
@media (prefers-color-scheme: dark) {
text { fill: #e5e7eb } .small { fill: #9ca3af }
.grid { stroke: #374151 } .axis { stroke: #9ca3af } .mark { stroke: #6b7280 }
.s0 { stroke: #60a5fa } .f0 { fill: #3b82f6 }
.s1 { stroke: #fbbf24 } .f1 { fill: #d97706 }
.s2 { stroke: #34d399 } .f2 { fill: #10b981 }
.s3 { stroke: #a78bfa } .f3 { fill: #8b5cf6 }
.s4 { stroke: #f87171 } .f4 { fill: #ef4444 }
}
</style>
";

/// Colours there are.
pub(super) const COLOURS: usize = 5;

fn begin(height: f64, title: &str) -> String {
    let title = escape(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
         aria-label=\"{title}\">\n{STYLE}<text class=\"title\" x=\"12\" y=\"24\">{title}</text>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Where values lie: from `least` to `most`, in the scale's own measure.
#[derive(Clone, Copy, Debug)]
struct Range {
    scale: Scale,
    least: f64,
    most: f64,
}

impl Range {
    fn new(scale: Scale, values: impl Iterator<Item = f64>) -> Self {
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.map(|value| measure(scale, value)) {
            (least, most) = (least.min(value), most.max(value));
        }
        match scale {
            Scale::Linear => Self { scale, least: 0.0, most: (most * 1.08).max(1e-9) },
            Scale::Log => Self { scale, least: least.floor(), most: most.ceil().max(least.floor() + 1.0) },
            Scale::Time | Scale::Nines => Self { scale, least, most: most.max(least + 1e-9) },
        }
    }

    /// From 0 to 1.
    fn place(&self, value: f64) -> f64 {
        ((measure(self.scale, value) - self.least) / (self.most - self.least)).clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<(f64, String)> {
        match self.scale {
            Scale::Linear | Scale::Time => {
                let step = step((self.most - self.least) / 5.0);
                let first = (self.least / step).ceil() as i64;
                let values = (first..).map(|tick| tick as f64 * step).take_while(|value| *value <= self.most);
                values.map(|value| (value, short(value))).collect()
            }
            Scale::Log => (self.least as i32..=self.most as i32)
                .map(|power| 10_f64.powi(power))
                .map(|value| (value, short(value)))
                .collect(),
            Scale::Nines => {
                let all = ["0", "50", "90", "99", "99.9", "99.99", "99.999"].into_iter();
                let all = all.map(|name| (name.parse::<f64>().unwrap_or(0.0) / 100.0, name.to_owned()));
                all.filter(|(value, _)| measure(Scale::Nines, *value) <= self.most + 1e-9).collect()
            }
        }
    }
}

fn measure(scale: Scale, value: f64) -> f64 {
    match scale {
        Scale::Linear | Scale::Time => value,
        Scale::Log => value.max(1e-9).log10(),
        Scale::Nines => -(1.0 - value).max(1e-9).log10(),
    }
}

/// 1, 2 or 5 times a power of ten, at least `wanted`.
fn step(wanted: f64) -> f64 {
    let power = 10_f64.powf(wanted.max(1e-9).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= wanted * 0.999).unwrap_or(power)
}

/// A number on an axis.
pub(super) fn short(value: f64) -> String {
    let trimmed = |value: f64, unit: &str| {
        let text = format!("{value:.1}");
        format!("{}{unit}", text.strip_suffix(".0").unwrap_or(&text))
    };
    match value {
        1e6.. => trimmed(value / 1e6, "M"),
        1e3.. => trimmed(value / 1e3, "k"),
        0.1.. => trimmed(value, ""),
        0.0 => "0".to_owned(),
        _ => format!("{value}"),
    }
}

const TOP: f64 = 64.0;
const BOTTOM: f64 = 348.0;

/// The place of a plot's lines: where values are on the page.
struct Area {
    x: Range,
    y: Range,
}

impl Area {
    fn at_x(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn at_y(&self, value: f64) -> f64 {
        BOTTOM - self.y.place(value) * (BOTTOM - TOP)
    }

    /// Grid, ticks and labels.
    fn frame(&self, out: &mut String, x: &Axis, y: &Axis) {
        let right = WIDTH - RIGHT;
        for (value, name) in self.y.ticks() {
            let at = self.at_y(value);
            let _ = writeln!(
                out,
                "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{right}\"/>{}",
                label((LEFT - 8.0, at + 4.0), "end", &name)
            );
        }
        for (value, name) in self.x.ticks() {
            let at = self.at_x(value);
            let tick = label((at, BOTTOM + 20.0), "middle", &name);
            let _ = writeln!(out, "<path class=\"axis\" d=\"M{at:.1} {BOTTOM}v5\"/>{tick}");
        }
        let _ = writeln!(out, "<path class=\"axis\" d=\"M{LEFT} {BOTTOM}H{right}\"/>");
        let (middle, centre) = (f64::midpoint(LEFT, right), f64::midpoint(TOP, BOTTOM));
        let _ = writeln!(out, "<text x=\"{middle}\" y=\"390\" text-anchor=\"middle\">{}</text>", escape(x.label));
        let turned = format!("transform=\"translate(22 {centre}) rotate(-90)\"");
        let _ = writeln!(out, "<text {turned} text-anchor=\"middle\">{}</text>", escape(y.label));
    }

    fn line(&self, out: &mut String, line: &Line) {
        let class = if line.dashed { "line dashed" } else { "line" };
        let colour = line.colour % COLOURS;
        let mut path = String::new();
        for (place, (x, y, _)) in line.points.iter().enumerate() {
            let command = if place == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{command}{:.1} {:.1}", self.at_x(*x), self.at_y(*y));
        }
        let _ = writeln!(out, "<path class=\"{class} s{colour}\" d=\"{path}\"/>");
        for (x, y, spread) in &line.points {
            let Some((least, most)) = spread else { continue };
            let (x, y, least, most) = (self.at_x(*x), self.at_y(*y), self.at_y(*least), self.at_y(*most));
            let _ = writeln!(out, "<path class=\"spread s{colour}\" d=\"M{x:.1} {least:.1}V{most:.1}\"/>");
            let _ = writeln!(out, "<circle class=\"f{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>");
        }
    }
}

fn label((x, y): (f64, f64), anchor: &str, text: &str) -> String {
    format!("<text class=\"small\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escape(text))
}

/// Lines over two axes; `marks` are vertical.
pub(super) fn lines(title: &str, x: &Axis, y: &Axis, lines: &[Line], marks: &[f64]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let heights = points().flat_map(|(_, y, spread)| spread.map_or([*y, *y], |(least, most)| [least, most]));
    let area = Area { x: Range::new(x.scale, points().map(|point| point.0)), y: Range::new(y.scale, heights) };
    let mut out = begin(400.0, title);
    legend(&mut out, &lines.iter().map(|line| (line.name.as_str(), line.colour, line.dashed)).collect::<Vec<_>>());
    area.frame(&mut out, x, y);
    for mark in marks {
        let _ = writeln!(out, "<path class=\"mark\" d=\"M{:.1} {TOP}V{BOTTOM}\"/>", area.at_x(*mark));
    }
    lines.iter().for_each(|line| area.line(&mut out, line));
    out.push_str("</svg>\n");
    out
}

fn legend(out: &mut String, entries: &[(&str, usize, bool)]) {
    let mut at = LEFT;
    for (name, colour, dashed) in entries {
        let class = if *dashed { "line dashed" } else { "line" };
        let _ = writeln!(
            out,
            "<path class=\"{class} s{}\" d=\"M{at:.1} 44h22\"/><text class=\"small\" x=\"{:.1}\" y=\"48\">{}</text>",
            colour % COLOURS,
            at + 28.0,
            escape(name)
        );
        // About 6.6 pixels a letter.
        at += 28.0 + name.len() as f64 * 6.6 + 22.0;
    }
}

/// Bars that lie, one below the other, each with its value and its spread.
pub(super) fn bars(title: &str, names: &[&str], rows: &[Bars], unit: &str) -> String {
    const EACH: f64 = 18.0;
    let left = 190.0;
    let count: usize = rows.iter().map(|row| row.values.len()).sum();
    let height = 76.0 + count as f64 * EACH + rows.len() as f64 * 12.0;
    let values = Range::new(Scale::Linear, rows.iter().flat_map(|row| &row.values).map(|value| value.3));
    let length = |value| values.place(value) * (WIDTH - left - 110.0);
    let mut out = begin(height, title);
    let mut at = left;
    for (colour, name) in names.iter().enumerate() {
        let _ = writeln!(
            out,
            "<rect class=\"f{}\" x=\"{at:.1}\" y=\"38\" width=\"12\" height=\"12\"/><text class=\"small\" x=\"{:.1}\" y=\"48\">{}</text>",
            colour % COLOURS,
            at + 18.0,
            escape(name)
        );
        at += 18.0 + name.len() as f64 * 6.6 + 22.0;
    }
    let mut y = 64.0;
    for row in rows {
        let middle = y + row.values.len() as f64 * EACH / 2.0 + 4.0;
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>",
            left - 10.0,
            escape(&row.label)
        );
        for (colour, value, least, most) in &row.values {
            let (from, to) = (left + length(*least), left + length(*most));
            let _ = writeln!(
                out,
                "<rect class=\"f{}\" x=\"{left}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"/><path class=\"axis\" d=\"M{from:.1} {:.1}H{to:.1}\"/><text class=\"small\" x=\"{:.1}\" y=\"{:.1}\">{} {unit}</text>",
                colour % COLOURS,
                length(*value),
                EACH - 4.0,
                y + EACH / 2.0 - 2.0,
                to + 8.0,
                y + 11.5,
                short(*value)
            );
            y += EACH;
        }
        y += 12.0;
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        let ticks = |scale, values: &[f64]| -> Vec<String> {
            Range::new(scale, values.iter().copied()).ticks().into_iter().map(|(_, name)| name).collect()
        };
        assert_eq!(ticks(Scale::Linear, &[3.0, 97_000.0]), ["0", "50k", "100k"]);
        assert_eq!(ticks(Scale::Log, &[100.0, 99_000.0]), ["100", "1k", "10k", "100k"]);
        assert_eq!(ticks(Scale::Nines, &[0.0, 0.9995]), ["0", "50", "90", "99", "99.9"]);
        assert_eq!(ticks(Scale::Time, &[0.05, 3.9]), ["1", "2", "3"]);
    }

    #[test]
    fn names_cannot_break_the_file() {
        let plot = bars("a < b & \"c\"", &["x<y"], &[], "/s");
        assert!(plot.contains("a &lt; b &amp; &quot;c&quot;") && plot.contains("x&lt;y"));
    }
}
