//! Line charts as SVG: small, without a script, readable in light and dark.

use std::fmt::Write as _;

/// How the axes are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Both evenly, from 0.
    Linear,
    /// Both by powers; times are on it as a person says them.
    LogLog,
}

/// One line, or marks alone.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its points.
    pub points: Vec<(f64, f64)>,
    line: bool,
}

impl Series {
    /// A line without points.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), points: Vec::new(), line: true }
    }

    /// Marks without a line.
    pub fn marks(name: impl Into<String>) -> Self {
        Self { line: false, ..Self::new(name) }
    }
}

/// A chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Its heading.
    pub title: String,
    /// What is to the right.
    pub x: String,
    /// What is up.
    pub y: String,
    /// How the axes are divided.
    pub scale: Scale,
    /// What is drawn.
    pub series: Vec<Series>,
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 56.0;
const COLOURS: [&str; 4] = ["#c0392b", "#d08a1d", "#3a76b0", "#2e8b57"];
const STYLE: &str = "<style>svg{background:#fff}text{font:13px sans-serif;fill:#222}.title{font-size:16px;font-weight:600}\
.grid{stroke:#e2e2e2}.axis{stroke:#777}.small{font-size:12px;fill:#555}\
@media(prefers-color-scheme:dark){svg{background:#1c1f22}text{fill:#ddd}.small{fill:#aaa}.grid{stroke:#34393e}}</style>\n";

struct Axis {
    least: f64,
    most: f64,
    log: bool,
    marks: Vec<f64>,
}

impl Axis {
    fn of(values: impl Iterator<Item = f64> + Clone, log: bool, times: bool) -> Self {
        let most = values.clone().fold(f64::MIN_POSITIVE, f64::max);
        if log {
            let least = values.fold(f64::MAX, f64::min).max(f64::MIN_POSITIVE);
            let wanted: &[f64] = if times {
                &[
                    1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21_600.0, 43_200.0,
                    86_400.0,
                ]
            } else {
                &[1.0, 2.0, 4.0, 8.0, 11.0, 16.0, 22.0, 32.0, 44.0, 64.0, 88.0, 128.0, 176.0, 256.0]
            };
            let below = wanted.iter().copied().filter(|mark| *mark <= least).fold(wanted[0], f64::max).min(least);
            let above = wanted.iter().copied().find(|mark| *mark >= most).unwrap_or(most);
            let marks = wanted.iter().copied().filter(|mark| *mark >= below && *mark <= above).collect();
            return Self { least: below, most: above, log, marks };
        }
        let rough = most / 6.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].iter().map(|factor| factor * power).find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let count = (most / step).ceil().max(1.0);
        let mut marks = vec![0.0];
        while marks.len() <= 20 && marks[marks.len() - 1] < step * count - step / 2.0 {
            marks.push(marks[marks.len() - 1] + step);
        }
        Self { least: 0.0, most: step * count, log, marks }
    }

    /// Where a value is, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        if self.log {
            (value / self.least).ln() / (self.most / self.least).ln().max(f64::MIN_POSITIVE)
        } else {
            (value - self.least) / (self.most - self.least)
        }
    }
}

/// A text for an element.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A time as a mark says it.
fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 3600.0 => format!("{:.0} h", s / 3600.0),
        s if s >= 60.0 => format!("{:.0} min", s / 60.0),
        s => format!("{s:.0} s"),
    }
}

impl Chart {
    /// The chart as SVG.
    #[must_use]
    pub fn svg(&self) -> String {
        let log = self.scale == Scale::LogLog;
        let points = self.series.iter().flat_map(|series| series.points.iter().copied());
        let x = Axis::of(points.clone().map(|point| point.0), log, false);
        let y = Axis::of(points.map(|point| point.1), log, true);
        let right = |value: f64| LEFT + x.place(value) * (WIDTH - LEFT - RIGHT);
        let up = |value: f64| HEIGHT - BOTTOM - y.place(value) * (HEIGHT - TOP - BOTTOM);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\">\n{STYLE}"
        );
        let _ = writeln!(out, "<text class=\"title\" x=\"16\" y=\"28\">{}</text>", escape(&self.title));
        self.grid(&mut out, (&x, &right), (&y, &up));
        let mut labels = Vec::new();
        for (at, series) in self.series.iter().enumerate() {
            let colour = COLOURS[at % COLOURS.len()];
            if let Some(last) = draw(&mut out, series, colour, &right, &up) {
                labels.push((last, at));
            }
        }
        self.names(&mut out, labels);
        out.push_str("</svg>\n");
        out
    }

    fn grid(&self, out: &mut String, (x, right): (&Axis, &dyn Fn(f64) -> f64), (y, up): (&Axis, &dyn Fn(f64) -> f64)) {
        let (bottom, end) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        let seconds = self.y.contains("until");
        for mark in &y.marks {
            let at = up(*mark);
            let text = if seconds && y.log {
                time(*mark)
            } else if seconds {
                format!("{mark:.0} s")
            } else {
                format!("{mark:.0}")
            };
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{end}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text class=\"small\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                LEFT - 8.0,
                at + 4.0
            );
        }
        for mark in &x.marks {
            let at = right(*mark);
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/><text class=\"small\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{mark:.0}</text>",
                bottom + 18.0
            );
        }
        let _ = writeln!(out, "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{end}\" y1=\"{bottom}\" y2=\"{bottom}\"/>");
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            f64::midpoint(LEFT, end),
            HEIGHT - 14.0,
            escape(&self.x)
        );
        let _ = writeln!(out, "<text class=\"small\" x=\"16\" y=\"{:.1}\">{}</text>", TOP - 8.0, escape(&self.y));
    }

    /// The names beside the ends of their lines, moved apart where they would lie on each other.
    fn names(&self, out: &mut String, mut labels: Vec<(f64, usize)>) {
        labels.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut above = TOP - 10.0;
        for (wanted, at) in labels {
            let y = wanted.max(above + 17.0);
            above = y;
            let colour = COLOURS[at % COLOURS.len()];
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" style=\"fill:{colour}\">{}</text>",
                WIDTH - RIGHT + 14.0,
                y + 4.0,
                escape(&self.series[at].name)
            );
        }
    }
}

/// Draws a series; where its end is.
fn draw(
    out: &mut String,
    series: &Series,
    colour: &str,
    right: &dyn Fn(f64) -> f64,
    up: &dyn Fn(f64) -> f64,
) -> Option<f64> {
    let places: Vec<(f64, f64)> = series.points.iter().map(|(x, y)| (right(*x), up(*y))).collect();
    if series.line {
        let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" style=\"fill:none;stroke:{colour};stroke-width:2.2\"/>",
            path.join(" ")
        );
    }
    // Where there are many points a line says it better than marks.
    if places.len() <= 30 {
        for (x, y) in &places {
            let _ = match series.line {
                true => writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.4\" style=\"fill:{colour}\"/>"),
                false => writeln!(
                    out,
                    "<path d=\"M{:.1} {y:.1}l6 -6l6 6l-6 6z\" style=\"fill:none;stroke:{colour};stroke-width:2\"/>",
                    x - 6.0
                ),
            };
        }
    }
    places.last().map(|(_, y)| *y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_every_line_and_every_name_once() {
        let mut series = vec![Series::new("a < b"), Series::marks("theirs")];
        series[0].points = vec![(1.0, 10.0), (64.0, 4000.0)];
        series[1].points = vec![(2.0, 50.0)];
        for scale in [Scale::Linear, Scale::LogLog] {
            let chart = Chart {
                title: "t".to_owned(),
                x: "x".to_owned(),
                y: "until".to_owned(),
                scale,
                series: series.clone(),
            };
            let svg = chart.svg();
            assert_eq!(svg.matches("<polyline").count(), 1);
            assert_eq!(svg.matches("a &lt; b").count(), 1);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
