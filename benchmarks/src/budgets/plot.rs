//! Plots as SVG: lines over two logarithmic axes, with a legend.
//!
//! Invariant: a plot is text that depends on its points alone, so that a run that counts the same writes the same file.

use std::fmt::Write as _;
use std::path::Path;

/// A line of a plot.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) colour: &'static str,
    pub(super) is_dashed: bool,
    pub(super) points: Vec<(f64, f64)>,
}

/// A plot of some lines.
#[derive(Debug, Clone)]
pub(super) struct Plot {
    pub(super) title: String,
    pub(super) across: &'static str,
    pub(super) up: &'static str,
    pub(super) lines: Vec<Line>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 44.0;
const RIGHT: f64 = 500.0;
const BOTTOM: f64 = 360.0;

/// The whole decades around some values.
fn decades(values: impl Iterator<Item = f64>) -> (i32, i32) {
    let (least, most) =
        values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    let (low, high) = (least.max(1.0).log10().floor() as i32, most.max(1.0).log10().ceil() as i32);
    (low, high.max(low + 1))
}

/// A power of ten as it is read: 1, 10, 100, 1,000, 10k, 1M.
fn decade(power: i32) -> String {
    let (unit, name) = match power {
        ..=3 => (0, ""),
        4..=5 => (3, "k"),
        _ => (6, "M"),
    };
    let digits = 10_u64.pow(u32::try_from(power - unit).unwrap_or(0));
    if power == 3 { "1,000".to_owned() } else { format!("{digits}{name}") }
}

impl Plot {
    /// The whole file.
    pub(super) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| line.points.iter().copied());
        let (left, right) = decades(points().map(|point| point.0));
        let (low, high) = decades(points().map(|point| point.1));
        let x = |value: f64| {
            LEFT + (value.max(1.0).log10() - f64::from(left)) / f64::from(right - left) * (RIGHT - LEFT)
        };
        let y = |value: f64| {
            BOTTOM - (value.max(1.0).log10() - f64::from(low)) / f64::from(high - low) * (BOTTOM - TOP)
        };
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\" fill=\"#333\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"24\" font-size=\"15\" font-weight=\"bold\">{}</text>\n",
            self.title
        );
        for power in left..=right {
            let place = x(10_f64.powi(power));
            let _ = writeln!(
                text,
                "<path d=\"M{place:.1} {TOP}V{BOTTOM}\" stroke=\"#e4e4e4\"/>\
                 <text x=\"{place:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                BOTTOM + 18.0,
                decade(power)
            );
        }
        for power in low..=high {
            let place = y(10_f64.powi(power));
            let _ = writeln!(
                text,
                "<path d=\"M{LEFT} {place:.1}H{RIGHT}\" stroke=\"#e4e4e4\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                place + 4.0,
                decade(power)
            );
        }
        let (middle, half) = (f64::midpoint(LEFT, RIGHT), f64::midpoint(TOP, BOTTOM));
        let _ = writeln!(
            text,
            "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
             <text transform=\"translate(18 {half}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            BOTTOM + 42.0,
            self.across,
            self.up
        );
        for (number, line) in self.lines.iter().enumerate() {
            let path: Vec<String> =
                line.points.iter().map(|(across, up)| format!("{:.1} {:.1}", x(*across), y(*up))).collect();
            let dash = if line.is_dashed { " stroke-dasharray=\"6 4\"" } else { "" };
            let drawn = format!("fill=\"none\" stroke=\"{}\" stroke-width=\"2\"{dash}", line.colour);
            let _ = writeln!(text, "<path d=\"M{}\" {drawn}/>", path.join("L"));
            if !line.is_dashed {
                for (across, up) in &line.points {
                    let _ = writeln!(
                        text,
                        "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{}\"/>",
                        x(*across),
                        y(*up),
                        line.colour
                    );
                }
            }
            let place = TOP + 10.0 + 22.0 * number as f64;
            let _ = writeln!(
                text,
                "<path d=\"M{} {place}h26\" {drawn}/><text x=\"{}\" y=\"{}\">{}</text>",
                RIGHT + 16.0,
                RIGHT + 50.0,
                place + 4.0,
                line.name
            );
        }
        text + "</svg>\n"
    }

    /// Writes it beside the benchmarks.
    pub(super) fn save(&self, name: &str) {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("plots");
        std::fs::create_dir_all(&directory).expect("the directory of plots is made");
        std::fs::write(directory.join(name), self.svg()).expect("the plot is written");
        println!("wrote benchmarks/plots/{name}");
    }
}
