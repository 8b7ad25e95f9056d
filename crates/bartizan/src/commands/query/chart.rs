//! Text charts: bars, columns, lines and shares, as wide as the terminal.
//!
//! Columns are assigned as in `render`, if present, and otherwise by type: the first non-numeric column labels the rows, numbers are drawn,
//! and another text column distinguishes series. Arrays, as returned by `make-series`, are drawn element by element.

use std::io::IsTerminal;

use kql::Value;
use model::{Answer, Render, Type};
use serde_json::Value as Json;

/// Output options.
pub struct Style {
    pub width: usize,
    pub color: bool,
}

impl Style {
    /// Detects the capabilities of standard output. No colours with `NO_COLOR` (no-color.org) or in a pipe, whose width is 80.
    pub fn of_stdout() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let width = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let width = width.or_else(|| console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns)));
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { width: width.unwrap_or(80).clamp(20, 400), color: terminal && !plain }
    }

    /// `text` in the colour of series `index`.
    fn paint(&self, index: usize, text: &str) -> String {
        const COLORS: [u8; 6] = [36, 33, 35, 32, 34, 31];
        if self.color { format!("\x1b[{}m{text}\x1b[0m", COLORS[index % COLORS.len()]) } else { text.to_owned() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bar,
    Column,
    Line,
    Pie,
}

/// Values of several series at the same labels.
#[derive(Debug, Default, PartialEq)]
struct Data {
    labels: Vec<String>,
    series: Vec<(String, Vec<Option<f64>>)>,
}

/// Maximum rows of a bar chart; the number of omitted ones is printed.
const ROWS: usize = 60;
/// Height of column and line charts, in lines.
const HEIGHT: usize = 12;

/// The lines of the chart; `None` without a numeric column.
pub fn draw(answer: &Answer, style: &Style) -> Option<Vec<String>> {
    let rows: Vec<Vec<Value>> = super::cells(&answer.columns, &answer.batches).collect();
    let columns: Vec<(&str, Type)> = answer.columns.iter().map(|column| (column.name.as_str(), column.ty)).collect();
    let (kind, data) = plan(&columns, &rows, answer.render.as_ref())?;
    let title = answer.render.as_ref().and_then(|render| property(render, "title")).map(str::to_owned);
    let mut lines: Vec<String> = title.into_iter().collect();
    if data.labels.is_empty() {
        lines.push("(no rows)".to_owned());
        return Some(lines);
    }
    lines.extend(match kind {
        Kind::Bar => bars(&data, style),
        Kind::Column => columns_of(&data, style),
        Kind::Line => line(&data, style),
        Kind::Pie => pie(&data, style),
    });
    Some(lines)
}

fn property<'r>(render: &'r Render, name: &str) -> Option<&'r str> {
    render.properties.iter().find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.as_str())
}

/// Selects the columns and the chart type.
fn plan(columns: &[(&str, Type)], rows: &[Vec<Value>], render: Option<&Render>) -> Option<(Kind, Data)> {
    let find = |name: &str| columns.iter().position(|(known, _)| *known == name.trim());
    let asked = |name: &str| -> Vec<usize> {
        render.and_then(|render| property(render, name)).map(|names| names.split(',').filter_map(find).collect()).unwrap_or_default()
    };
    let is_array = |index: usize| {
        columns[index].1 == Type::Dynamic
            && rows.first().is_some_and(|row| matches!(&row[index], Value::Dynamic(text) if text.starts_with('[')))
    };
    let kind = match render.map(|render| render.visualization.as_str()) {
        Some("barchart") => Some(Kind::Bar),
        Some("columnchart" | "stackedareachart") => Some(Kind::Column),
        Some("linechart" | "timechart" | "areachart" | "anomalychart" | "scatterchart") => Some(Kind::Line),
        Some("piechart" | "treemap") => Some(Kind::Pie),
        _ => None,
    };
    let timely = |index: &usize| columns[*index].1 == Type::Datetime;
    let numeric = |index: &usize| columns[*index].1.is_numeric() || columns[*index].1 == Type::Timespan;
    let all: Vec<usize> = (0..columns.len()).collect();
    let arrays: Vec<usize> = all.iter().copied().filter(|index| is_array(*index)).collect();
    let x = asked("xcolumn").first().copied().or_else(|| {
        let first_time = all.iter().copied().find(timely).filter(|_| kind.is_none_or(|kind| kind == Kind::Line));
        let scatter = render.is_some_and(|render| matches!(render.visualization.as_str(), "scatterchart" | "linechart"));
        first_time
            .or_else(|| all.iter().copied().find(|index| !numeric(index) && !arrays.contains(index)))
            .or_else(|| scatter.then_some(0).filter(|_| columns.len() > 1))
    });
    if !arrays.is_empty() && all.iter().all(|index| !numeric(index)) {
        return Some((kind.unwrap_or(Kind::Line), of_arrays(columns, rows, &arrays, x)?));
    }
    let ys: Vec<usize> = match asked("ycolumns") {
        ys if !ys.is_empty() => ys,
        _ => all.iter().copied().filter(|index| numeric(index) && Some(*index) != x).collect(),
    };
    if ys.is_empty() {
        return None;
    }
    let split: Vec<usize> = match asked("series") {
        series if !series.is_empty() => series,
        _ if kind == Some(Kind::Pie) => Vec::new(),
        _ => all
            .iter()
            .copied()
            .filter(|index| Some(*index) != x && !ys.contains(index) && columns[*index].1 == Type::String)
            .take(1)
            .collect(),
    };
    let kind = kind.unwrap_or_else(|| match x {
        Some(x) if timely(&x) => Kind::Line,
        Some(_) => Kind::Bar,
        None => Kind::Column,
    });
    let mut data = Data::default();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    if let Some(x) = x.filter(timely) {
        order.sort_by_key(|row| match rows[*row][x] {
            Value::Datetime(ticks) => ticks,
            _ => i64::MIN,
        });
    }
    for row in order {
        let row = &rows[row];
        let label = x.map_or_else(String::new, |x| row[x].to_text());
        // Several rows may have the same label: one per series.
        let place = match x.and_then(|_| data.labels.iter().rposition(|known| *known == label).filter(|_| !split.is_empty())) {
            Some(place) => place,
            None => {
                data.labels.push(label);
                data.series.iter_mut().for_each(|(_, values)| values.push(None));
                data.labels.len() - 1
            }
        };
        for y in &ys {
            let parts = split.iter().map(|index| row[*index].to_text()).collect::<Vec<_>>().join(", ");
            let name = match (split.is_empty(), ys.len()) {
                (true, _) => columns[*y].0.to_owned(),
                (false, 1) => parts,
                (false, _) => format!("{parts}: {}", columns[*y].0),
            };
            let count = data.labels.len();
            let index = data.series.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
                data.series.push((name, vec![None; count]));
                data.series.len() - 1
            });
            data.series[index].1[place] = number(&row[*y]);
        }
    }
    Some((kind, data))
}

/// One series per row, as returned by `make-series`.
fn of_arrays(columns: &[(&str, Type)], rows: &[Vec<Value>], arrays: &[usize], x: Option<usize>) -> Option<Data> {
    let elements = |value: &Value| match value {
        Value::Dynamic(text) => serde_json::from_str::<Vec<Json>>(text).unwrap_or_default(),
        _ => Vec::new(),
    };
    let is_axis = |index: &usize| rows.first().is_some_and(|row| elements(&row[*index]).iter().any(Json::is_string));
    let axis = arrays.iter().copied().find(is_axis);
    let mut data = Data::default();
    for row in rows {
        for y in arrays.iter().copied().filter(|index| Some(*index) != axis) {
            let values: Vec<Option<f64>> = elements(&row[y]).iter().map(Json::as_f64).collect();
            if data.labels.len() < values.len() {
                let named = axis.map(|axis| elements(&row[axis])).unwrap_or_default();
                data.labels = (0..values.len())
                    .map(|at| named.get(at).and_then(Json::as_str).map_or_else(|| at.to_string(), str::to_owned))
                    .collect();
            }
            let name = match x.map(|x| row[x].to_text()) {
                Some(name) if arrays.len() - usize::from(axis.is_some()) == 1 => name,
                Some(name) => format!("{name}: {}", columns[y].0),
                None => columns[y].0.to_owned(),
            };
            data.series.push((name, values));
        }
    }
    let count = data.labels.len();
    data.series.iter_mut().for_each(|(_, values)| values.resize(count, None));
    (!data.series.is_empty()).then_some(data)
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(n) => Some(f64::from(*n)),
        Value::Long(n) => Some(*n as f64),
        Value::Real(n) => Some(*n).filter(|n| n.is_finite()),
        // In seconds.
        Value::Timespan(ticks) => Some(*ticks as f64 / 1e7),
        other => other.to_text().parse().ok().filter(|n: &f64| n.is_finite()),
    }
}

/// A number in short form that is still distinguishable.
fn short(n: f64) -> String {
    if n.fract() == 0.0 && n.abs() < 1e15 {
        format!("{n:.0}")
    } else if n.abs() >= 1e15 || n.abs() < 1e-3 {
        format!("{n:.3e}")
    } else {
        format!("{n:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

fn width_of(text: &str) -> usize {
    console::measure_text_width(text)
}

/// Truncates or pads `text` to `width` columns.
fn fitted(text: &str, width: usize) -> String {
    let text = text.replace(['\n', '\r', '\t'], " ");
    let cut = console::truncate_str(&text, width, "…").into_owned();
    let fill = width.saturating_sub(width_of(&cut));
    cut + &" ".repeat(fill)
}

/// The name of each series in its colour, if there are several.
fn legend(data: &Data, style: &Style) -> Option<String> {
    let names = data.series.iter().enumerate().map(|(index, (name, _))| style.paint(index, &format!("{} {name}", mark(index))));
    (data.series.len() > 1).then(|| names.collect::<Vec<_>>().join("   "))
}

/// Distinguishes series without colours.
fn mark(index: usize) -> char {
    ['█', '▓', '▒', '░', '■', '□'][index % 6]
}

/// A bar of `length` columns, with a resolution of eighths.
fn bar(length: f64, fill: char) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (length.max(0.0) * 8.0).round() as usize;
    let whole: String = std::iter::repeat_n(fill, eighths / 8).collect();
    if fill == '█' { whole + EIGHTHS[eighths % 8] } else { whole }
}

fn bars(data: &Data, style: &Style) -> Vec<String> {
    let shown = data.labels.len().min(ROWS);
    let label = data.labels[..shown].iter().map(|label| width_of(label)).max().unwrap_or(0).min(style.width / 3);
    let values = || data.series.iter().flat_map(|(_, values)| values[..shown].iter().flatten().copied());
    let figures = values().map(|n| short(n).len()).max().unwrap_or(1);
    let room = style.width.saturating_sub(label + figures + 3).max(5) as f64;
    let (low, high) = (values().fold(0.0f64, f64::min), values().fold(0.0f64, f64::max));
    let span = if high - low > 0.0 { high - low } else { 1.0 };
    let zero = (-low / span * room).round() as usize;
    let mut lines: Vec<String> = legend(data, style).into_iter().collect();
    for row in 0..shown {
        for (index, (_, values)) in data.series.iter().enumerate() {
            let name = if index == 0 { fitted(&data.labels[row], label) } else { " ".repeat(label) };
            let fill = if data.series.len() > 1 { mark(index) } else { '█' };
            let (before, text, figure) = match values[row] {
                None => (zero, String::new(), String::new()),
                Some(n) if n < 0.0 => {
                    let length = (-n / span * room).round() as usize;
                    (zero.saturating_sub(length), std::iter::repeat_n(fill, length).collect(), short(n))
                }
                Some(n) => (zero, bar(n / span * room, fill), short(n)),
            };
            lines.push(format!("{name} │{}{} {figure}", " ".repeat(before), style.paint(index, &text)).trim_end().to_owned());
        }
    }
    if data.labels.len() > shown {
        lines.push(format!("… and {} more rows", data.labels.len() - shown));
    }
    lines
}

/// Downsamples the series to at most `room` values, taking the maximum of each part.
fn squeezed(values: &[Option<f64>], room: usize) -> Vec<Option<f64>> {
    let count = values.len().min(room.max(1));
    let part = |at: usize| &values[at * values.len() / count..(at + 1) * values.len() / count];
    (0..count).map(|at| part(at).iter().flatten().copied().reduce(f64::max)).collect()
}

/// The first and the last label under a chart of width `room`.
fn axis(data: &Data, margin: usize, room: usize) -> String {
    let (first, last) = (data.labels.first().map_or("", String::as_str), data.labels.last().map_or("", String::as_str));
    let half = room / 2;
    let (first, last) = (fitted(first, half).trim_end().to_owned(), fitted(last, half).trim_end().to_owned());
    let gap = room.saturating_sub(width_of(&first) + width_of(&last)).max(1);
    let last = if data.labels.len() > 1 { last } else { String::new() };
    format!("{}{first}{}{last}", " ".repeat(margin), " ".repeat(gap)).trim_end().to_owned()
}

fn bounds(data: &Data) -> (f64, f64) {
    let values = || data.series.iter().flat_map(|(_, values)| values.iter().flatten().copied());
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    if low > high { (0.0, 1.0) } else { (low.min(0.0), if high > low.min(0.0) { high } else { low.min(0.0) + 1.0 }) }
}

fn columns_of(data: &Data, style: &Style) -> Vec<String> {
    const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let (low, high) = bounds(data);
    let margin = short(high).len().max(short(low).len());
    let room = style.width.saturating_sub(margin + 2).max(5);
    let series: Vec<Vec<Option<f64>>> = data.series.iter().map(|(_, values)| squeezed(values, room / data.series.len().max(1))).collect();
    let places = series.first().map_or(0, Vec::len);
    let thick = (room / (places * series.len()).max(1)).clamp(1, 8);
    let gap = usize::from(thick > 1);
    let mut lines: Vec<String> = legend(data, style).into_iter().collect();
    for level in (0..HEIGHT).rev() {
        let figure = if level + 1 == HEIGHT {
            short(high)
        } else if level == 0 {
            short(low)
        } else {
            String::new()
        };
        let mut text = format!("{figure:>margin$} │");
        for place in 0..places {
            for (index, values) in series.iter().enumerate() {
                let eighths = values[place].map_or(0, |n| ((n - low) / (high - low) * (HEIGHT * 8) as f64).round() as usize);
                let cell = EIGHTHS[eighths.saturating_sub(level * 8).min(8)];
                let cell = if cell == '█' && series.len() > 1 { mark(index) } else { cell };
                let column: String = std::iter::repeat_n(cell, thick - gap).collect();
                text += &style.paint(index, &column);
                text += &" ".repeat(gap);
            }
        }
        lines.push(text.trim_end().to_owned());
    }
    lines.push(axis(data, margin + 2, (places * series.len() * thick).min(room).max(24.min(room))));
    lines
}

/// Braille dots: two by four per character.
fn line(data: &Data, style: &Style) -> Vec<String> {
    let (low, high) = bounds(data);
    let margin = short(high).len().max(short(low).len());
    let room = style.width.saturating_sub(margin + 2).max(5);
    let mut cells: Vec<(u8, usize)> = vec![(0, 0); room * HEIGHT];
    let (wide, tall) = (room * 2, HEIGHT * 4);
    let mut dot = |x: usize, y: usize, index: usize| {
        const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
        let row = HEIGHT - 1 - y / 4;
        if let Some(cell) = cells.get_mut(row * room + x / 2) {
            *cell = (cell.0 | BITS[x % 2][3 - y % 4], index);
        }
    };
    for (index, (_, values)) in data.series.iter().enumerate() {
        let values = squeezed(values, wide);
        let count = values.len();
        let x_of = |at: usize| if count > 1 { at * (wide - 1) / (count - 1) } else { 0 };
        let y_of = |n: f64| (((n - low) / (high - low)) * (tall - 1) as f64).round().clamp(0.0, (tall - 1) as f64) as usize;
        let mut previous: Option<(usize, usize)> = None;
        for (at, value) in values.iter().enumerate() {
            let Some(n) = value else {
                previous = None;
                continue;
            };
            let (x, y) = (x_of(at), y_of(*n));
            let (from_x, from_y) = previous.unwrap_or((x, y));
            let steps = (x - from_x).max(y.abs_diff(from_y)).max(1);
            for step in 0..=steps {
                let dx = from_x + (x - from_x) * step / steps;
                let dy = from_y as f64 + (y as f64 - from_y as f64) * step as f64 / steps as f64;
                dot(dx, dy.round() as usize, index);
            }
            previous = Some((x, y));
        }
    }
    let mut lines: Vec<String> = legend(data, style).into_iter().collect();
    for row in 0..HEIGHT {
        let figure = if row == 0 {
            short(high)
        } else if row + 1 == HEIGHT {
            short(low)
        } else {
            String::new()
        };
        let mut text = format!("{figure:>margin$} │");
        for (bits, index) in &cells[row * room..(row + 1) * room] {
            match bits {
                0 => text.push(' '),
                _ => text += &style.paint(*index, &char::from_u32(0x2800 + u32::from(*bits)).unwrap_or(' ').to_string()),
            }
        }
        lines.push(text.trim_end().to_owned());
    }
    lines.push(axis(data, margin + 2, room));
    lines
}

fn pie(data: &Data, style: &Style) -> Vec<String> {
    let Some((_, values)) = data.series.first() else { return Vec::new() };
    let mut parts: Vec<(&str, f64)> =
        data.labels.iter().zip(values).map(|(label, value)| (label.as_str(), value.unwrap_or(0.0).max(0.0))).collect();
    parts.sort_by(|a, b| b.1.total_cmp(&a.1));
    let total: f64 = parts.iter().map(|part| part.1).sum();
    let shown = parts.len().min(ROWS);
    let label = parts[..shown].iter().map(|(label, _)| width_of(label)).max().unwrap_or(0).min(style.width / 3);
    let room = style.width.saturating_sub(label + 20).max(5) as f64;
    let mut lines = Vec::with_capacity(shown + 1);
    for (index, (name, value)) in parts[..shown].iter().enumerate() {
        let share = if total > 0.0 { value / total } else { 0.0 };
        let text = style.paint(index, &bar(share * room, '█'));
        lines.push(format!("{} {:>5.1} % │{text} {}", fitted(name, label), share * 100.0, short(*value)));
    }
    if parts.len() > shown {
        let rest: f64 = parts[shown..].iter().map(|part| part.1).sum();
        lines.push(format!("… and {} more, {:.1} % together", parts.len() - shown, if total > 0.0 { rest / total * 100.0 } else { 0.0 }));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { width: 40, color: false };

    fn render(kind: &str) -> Render {
        Render { visualization: kind.to_owned(), properties: Vec::new() }
    }

    fn text(text: &str) -> Value {
        Value::String(text.to_owned())
    }

    #[test]
    fn the_longest_bar_fills_the_width_and_the_others_are_in_proportion() {
        let rows = vec![vec![text("High"), Value::Long(40)], vec![text("Low"), Value::Long(10)], vec![text("None"), Value::Long(0)]];
        let (kind, data) = plan(&[("Severity", Type::String), ("count_", Type::Long)], &rows, None).unwrap();
        assert_eq!(kind, Kind::Bar);
        let lines = bars(&data, &PLAIN);
        // 40 columns minus label, number and spacing.
        let counts: Vec<usize> = lines.iter().map(|line| line.chars().filter(|c| *c == '█').count()).collect();
        assert_eq!(counts, [31, 7, 0]);
        assert!(lines.iter().all(|line| width_of(line) <= 40), "{lines:#?}");
        assert!(lines[0].starts_with("High │") && lines[0].ends_with(" 40"), "{lines:#?}");
    }

    #[test]
    fn negative_bars_point_to_the_left_of_zero() {
        let data = Data { labels: vec!["a".into(), "b".into()], series: vec![("v".into(), vec![Some(-5.0), Some(5.0)])] };
        let lines = bars(&data, &PLAIN);
        let end = lines[0].chars().position(|c| c == '5').unwrap();
        let zero = lines[1].chars().position(|c| c == '█').unwrap();
        assert!(lines[0].starts_with("a │█") && end <= zero + 3, "{lines:#?}");
    }

    #[test]
    fn a_line_rises_from_the_lower_left_to_the_upper_right() {
        let rows: Vec<Vec<Value>> = (0..10).map(|n| vec![Value::Datetime(n), Value::Long(n)]).collect();
        let (kind, data) = plan(&[("t", Type::Datetime), ("v", Type::Long)], &rows, None).unwrap();
        assert_eq!(kind, Kind::Line);
        let lines = line(&data, &PLAIN);
        assert_eq!(lines.len(), HEIGHT + 1);
        assert!(width_of(&lines[0]) == 40 && lines[HEIGHT - 1].chars().nth(3).is_some_and(|c| c > '\u{2800}'), "{lines:#?}");
    }

    #[test]
    fn shares_are_of_the_whole_and_sorted() {
        let rows = vec![vec![text("a"), Value::Long(1)], vec![text("b"), Value::Long(3)]];
        let (kind, data) = plan(&[("k", Type::String), ("n", Type::Long)], &rows, Some(&render("piechart"))).unwrap();
        assert_eq!(kind, Kind::Pie);
        let lines = pie(&data, &PLAIN);
        assert!(lines[0].starts_with("b  75.0 %") && lines[1].starts_with("a  25.0 %"), "{lines:#?}");
    }

    #[test]
    fn texts_tell_series_apart_and_arrays_are_series() {
        let rows = vec![
            vec![Value::Datetime(1), text("x"), Value::Long(1)],
            vec![Value::Datetime(1), text("y"), Value::Long(2)],
            vec![Value::Datetime(2), text("y"), Value::Long(3)],
        ];
        let (_, data) = plan(&[("t", Type::Datetime), ("k", Type::String), ("n", Type::Long)], &rows, Some(&render("timechart"))).unwrap();
        assert_eq!(data.series, [("x".to_owned(), vec![Some(1.0), None]), ("y".to_owned(), vec![Some(2.0), Some(3.0)])]);
        let rows =
            vec![vec![text("x"), Value::Dynamic("[1,2,3]".into()), Value::Dynamic(r#"["2026-01-01","2026-01-02","2026-01-03"]"#.into())]];
        let (kind, data) = plan(&[("k", Type::String), ("n", Type::Dynamic), ("t", Type::Dynamic)], &rows, None).unwrap();
        assert_eq!((kind, data.labels[2].as_str(), data.series.len()), (Kind::Line, "2026-01-03", 1));
        assert!(plan(&[("k", Type::String)], &[vec![text("x")]], None).is_none());
    }
}
