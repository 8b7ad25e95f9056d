//! Chart types of `render`. Source of truth: the public KQL reference, `render-operator`.

/// Name and description.
pub const CHARTS: &[(&str, &str)] = &[
    ("anomalychart", "A time chart with the anomalies of its series"),
    ("areachart", "An area for each series"),
    ("barchart", "Horizontal bars, one a row"),
    ("card", "The values of the first row, large"),
    ("columnchart", "Vertical bars, one a row"),
    ("ladderchart", "Intervals of time, one a row"),
    ("linechart", "A line for each series"),
    ("piechart", "The share of each row in the whole"),
    ("pivotchart", "A pivot table and its chart"),
    ("scatterchart", "A point for each row"),
    ("stackedareachart", "Areas that stand on each other"),
    ("table", "The rows as they are"),
    ("timechart", "A line for each series over time"),
    ("timepivot", "Events on a line of time, to be drilled into"),
    ("treemap", "Nested rectangles by size"),
];
