//! Geospatial lines: length, centroid, closest point, interpolation, and conversions to other lines and areas.
//!
//! Source of truth: the public KQL reference, one page each (`geo-line-*`, `geo-closest-point-on-line`, `geo-distance-point-to-line`). A
//! line is a GeoJSON `LineString` or `MultiLineString`; segments shared by several lines count once.

use model::Type;
use s2rst::s2::polyline::Polyline;

use super::geo_points::place;
use super::shapes::{self, flag, real_or};
use super::signatures::{all, some};
use super::{Family, ScalarFn};
use crate::geo::nearest::LineIndex;
use crate::geo::{Lines, buffer, densify, nearest, overlay, read, write};

pub static FAMILY: Family = &[&LENGTH, &CENTROID, &CLOSEST, &DISTANCE, &INTERPOLATE, &LOCATE, &DENSIFY, &SIMPLIFY, &BUFFER];

const LINE: (&str, Type) = ("lineString", Type::Dynamic);

fn indexed(json: &str) -> Option<LineIndex> {
    Some(LineIndex::new(&read::lines(json)?))
}

static LENGTH: ScalarFn = ScalarFn {
    name: "geo_line_length",
    summary: "The length of a GeoJSON line or of the union of several, in metres",
    signature: all(&[LINE], Type::Real),
    examples: &[
        (
            r#"round(geo_line_length(dynamic({"type":"LineString","coordinates":[[-122.407628,47.578557],[-118.275287,34.019056]]})), 3)"#,
            "1546754.352",
        ),
        (r#"geo_line_length(dynamic({"type":"LineString","coordinates":[[1,1]]}))"#, ""),
    ],
    prepare: |prepare| shapes::reals(prepare, 0, |json| Some(read::lines(json)?.length()), |_, _, line| Some(*line)),
    ..ScalarFn::DEFAULT
};

static CENTROID: ScalarFn = ScalarFn {
    name: "geo_line_centroid",
    summary: "The centroid of a GeoJSON line or of the union of several, as a GeoJSON point",
    signature: all(&[LINE], Type::Dynamic),
    examples: &[
        (r#"round(todouble(geo_line_centroid(dynamic({"type":"LineString","coordinates":[[0,0],[0,10]]})).coordinates[1]), 9)"#, "5.0"),
        (r#"geo_line_centroid(dynamic({"type":"LineString","coordinates":[[1,1]]}))"#, ""),
    ],
    prepare: |prepare| {
        shapes::json(
            prepare,
            0,
            |json| read::lines(json)?.centroid(),
            |_, _, line, out| {
                write::point(out, *line);
                Some(())
            },
        )
    },
    ..ScalarFn::DEFAULT
};

static CLOSEST: ScalarFn = ScalarFn {
    name: "geo_closest_point_on_line",
    summary: "The point of a GeoJSON line that is nearest to a point",
    signature: all(&[("longitude", Type::Real), ("latitude", Type::Real), LINE], Type::Dynamic),
    examples: &[
        (
            r#"round(todouble(geo_closest_point_on_line(3, 1, dynamic({"type":"LineString","coordinates":[[0,0],[10,0]]})).coordinates[0]), 9)"#,
            "3.0",
        ),
        (r#"geo_closest_point_on_line(300, 3, dynamic({"type":"LineString","coordinates":[[1,1],[2,2]]}))"#, ""),
    ],
    prepare: |prepare| {
        shapes::json(prepare, 2, indexed, |args, row, line, out| {
            let point = place(args, 0, row)?.point();
            write::point(out, line.nearest(point)?);
            Some(())
        })
    },
    ..ScalarFn::DEFAULT
};

static DISTANCE: ScalarFn = ScalarFn {
    name: "geo_distance_point_to_line",
    summary: "The shortest distance between a point and a GeoJSON line, in metres",
    signature: all(&[("longitude", Type::Real), ("latitude", Type::Real), LINE], Type::Real),
    examples: &[
        (
            r#"round(geo_distance_point_to_line(3, 1, dynamic({"type":"LineString","coordinates":[[0,0],[10,0]]})) / geo_distance_2points(3, 1, 3, 0), 9)"#,
            "1.0",
        ),
        (r#"geo_distance_point_to_line(1, 1, dynamic({"type":"LineString"}))"#, ""),
    ],
    prepare: |prepare| {
        shapes::reals(prepare, 2, indexed, |args, row, line| {
            let point = place(args, 0, row)?.point();
            line.distance(point)
        })
    },
    ..ScalarFn::DEFAULT
};

static INTERPOLATE: ScalarFn = ScalarFn {
    name: "geo_line_interpolate_point",
    summary: "The point at a fraction, from 0 to 1, of the way along a GeoJSON line",
    signature: all(&[LINE, ("fraction", Type::Real)], Type::Dynamic),
    examples: &[
        (
            r#"round(todouble(geo_line_interpolate_point(dynamic({"type":"LineString","coordinates":[[0,0],[10,0]]}), 0.3).coordinates[0]), 9)"#,
            "3.0",
        ),
        (r#"geo_line_interpolate_point(dynamic({"type":"LineString","coordinates":[[1,1]]}), 0.5)"#, ""),
    ],
    prepare: |prepare| {
        shapes::json(
            prepare,
            0,
            |json| read::line(json).map(Polyline::new),
            |args, row, line, out| {
                let fraction = args.reals(1).get(row).filter(|fraction| (0.0..=1.0).contains(fraction))?;
                write::point(out, line.interpolate(fraction).0);
                Some(())
            },
        )
    },
    ..ScalarFn::DEFAULT
};

static LOCATE: ScalarFn = ScalarFn {
    name: "geo_line_locate_point",
    summary: "The fraction, from 0 to 1, of the way along a GeoJSON line at which it is nearest to a point",
    signature: some(&[LINE, ("longitude", Type::Real), ("latitude", Type::Real), ("use_spheroid", Type::Bool)], 3, Type::Real),
    examples: &[
        (r#"round(geo_line_locate_point(dynamic({"type":"LineString","coordinates":[[0,0],[10,0]]}), 3, 1), 9)"#, "0.3"),
        (r#"round(geo_line_locate_point(dynamic({"type":"LineString","coordinates":[[0,0],[10,0]]}), 3, 1, true), 6)"#, "0.3"),
        (r#"geo_line_locate_point(dynamic({"type":"LineString","coordinates":[[1,1]]}), 1, 1)"#, ""),
    ],
    prepare: |prepare| {
        shapes::reals(prepare, 0, read::line, |args, row, line| {
            let point = place(args, 1, row)?.point();
            Some(if flag(args, 3, row)? { nearest::locate_on_spheroid(line, point) } else { nearest::locate(line, point) })
        })
    },
    ..ScalarFn::DEFAULT
};

static DENSIFY: ScalarFn = ScalarFn {
    name: "geo_line_densify",
    summary: "A GeoJSON line with points put in, so that its geodesics stay within a tolerance, in metres, of straight lines on the map",
    signature: some(&[LINE, ("tolerance", Type::Real), ("preserve_crossing", Type::Bool)], 1, Type::Dynamic),
    examples: &[
        (
            r#"geo_line_densify(dynamic({"type":"LineString","coordinates":[[50,50],[51,51]]}), 100)"#,
            r#"{"type":"LineString","coordinates":[[50,50],[50.25,50.25],[50.5,50.5],[50.75,50.75],[51,51]]}"#,
        ),
        (r#"geo_line_densify(dynamic({"type":"LineString","coordinates":[[1,1],[2,2]]}), 0)"#, ""),
    ],
    prepare: |prepare| {
        shapes::json(
            prepare,
            0,
            |json| {
                // A line that is invalid on the sphere is rejected here too.
                read::lines(json)?;
                read::line_coordinates(json)
            },
            |args, row, line, out| {
                let tolerance = densify_tolerance(real_or(args, 1, row, densify::TOLERANCE)?)?;
                let crossing = flag(args, 2, row)?;
                let mut room = densify::MOST_POINTS;
                let parts: Option<Vec<_>> = line.parts.iter().map(|part| densify::densify(part, tolerance, crossing, &mut room)).collect();
                write::line_positions(out, &parts?, line.multi);
                Some(())
            },
        )
    },
    ..ScalarFn::DEFAULT
};

/// `None` if out of range.
pub(super) fn densify_tolerance(tolerance: f64) -> Option<f64> {
    (densify::LEAST_TOLERANCE..=densify::MOST_TOLERANCE).contains(&tolerance).then_some(tolerance)
}

/// Default simplification tolerance in metres.
pub(super) const SIMPLIFY_TOLERANCE: f64 = 10.0;

/// `None` if out of range.
pub(super) fn simplify_tolerance(tolerance: f64) -> Option<f64> {
    (0.0..=overlay::MOST_TOLERANCE).contains(&tolerance).then_some(tolerance)
}

static SIMPLIFY: ScalarFn = ScalarFn {
    name: "geo_line_simplify",
    summary: "A GeoJSON line with nearly straight chains of short edges made one, to a tolerance in metres",
    signature: some(&[LINE, ("tolerance", Type::Real)], 1, Type::Dynamic),
    examples: &[
        (r#"array_length(geo_line_simplify(dynamic({"type":"LineString","coordinates":[[0,0],[1,0.00001],[2,0]]})).coordinates)"#, "2"),
        (r#"geo_line_simplify(dynamic({"type":"LineString","coordinates":[[1,1],[2,2]]}), -1)"#, ""),
    ],
    prepare: |prepare| {
        shapes::json(prepare, 0, read::lines, |args, row, line, out| {
            let tolerance = simplify_tolerance(real_or(args, 1, row, SIMPLIFY_TOLERANCE)?)?;
            write::united_lines(out, &Lines(overlay::simplify_lines(line, tolerance)?))
        })
    },
    ..ScalarFn::DEFAULT
};

static BUFFER: ScalarFn = ScalarFn {
    name: "geo_line_buffer",
    summary: "The polygon of everything within a radius, in metres, of a GeoJSON line",
    signature: some(&[LINE, ("radius", Type::Real), ("tolerance", Type::Real)], 2, Type::Dynamic),
    examples: &[
        (r#"geo_point_in_polygon(0.5, 0.01, geo_line_buffer(dynamic({"type":"LineString","coordinates":[[0,0],[1,0]]}), 2000))"#, "True"),
        (r#"geo_line_buffer(dynamic({"type":"LineString","coordinates":[[0,0],[1,1]]}), 0)"#, ""),
    ],
    prepare: |prepare| {
        shapes::json(prepare, 0, read::lines, |args, row, line, out| {
            let tolerance = if args.len() > 2 { Some(args.reals(2).get(row)?) } else { None };
            let radius = args.reals(1).get(row)?;
            write::polygons(out, &[buffer::buffer(buffer::Core::Lines(line), radius, tolerance)?])
        })
    },
    ..ScalarFn::DEFAULT
};
