//! Geospatial points: `geo_distance_2points`, `geo_azimuth`, `geo_angle`, `geo_point_in_circle`, `geo_point_buffer`, and `geo_from_wkt`.
//!
//! Source of truth: the public KQL reference, one page each. Distances are in metres, on a sphere of radius 6 371 010 m, or on the WGS84
//! ellipsoid if requested. Longitudes must be in [-180, 180], latitudes in [-90, 90]; anything else gives null.

use model::Type;

use super::shapes::flag;
use super::signatures::{all, some};
use super::{Args, Family, ScalarFn, kernel};
use crate::geo::{Position, buffer, nearest, turn, wkt, write};

pub static FAMILY: Family = &[&DISTANCE, &AZIMUTH, &ANGLE, &IN_CIRCLE, &BUFFER, &FROM_WKT];

/// The point in arguments `index` and `index + 1`.
pub(super) fn place(args: &Args, index: usize, row: usize) -> Option<Position> {
    Position::new(args.reals(index).get(row)?, args.reals(index + 1).get(row)?)
}

const TWO_POINTS: &[(&str, Type)] = &[
    ("p1_longitude", Type::Real),
    ("p1_latitude", Type::Real),
    ("p2_longitude", Type::Real),
    ("p2_latitude", Type::Real),
    ("use_spheroid", Type::Bool),
];

static DISTANCE: ScalarFn = ScalarFn {
    name: "geo_distance_2points",
    summary: "The shortest distance between two points, in metres",
    signature: some(TWO_POINTS, 4, Type::Real),
    examples: &[
        ("round(geo_distance_2points(-122.407628, 47.578557, -118.275287, 34.019056), 3)", "1546754.352"),
        ("round(geo_distance_2points(-122.407628, 47.578557, -118.275287, 34.019056, true), 3)", "1545043.644"),
        ("geo_distance_2points(300, 1, 1, 1)", ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            args.map_reals(|row| {
                let (a, b) = (place(args, 0, row)?, place(args, 2, row)?);
                Some(if flag(args, 4, row)? { nearest::spheroid_distance(a, b) } else { a.distance(b) })
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static AZIMUTH: ScalarFn = ScalarFn {
    name: "geo_azimuth",
    summary: "The angle, clockwise from north in radians, at which a point is seen from another",
    signature: all(TWO_POINTS.split_at(4).0, Type::Real),
    examples: &[
        ("geo_azimuth(0, 0, 0, 10)", "0.0"),
        ("degrees(geo_azimuth(0, 0, 10, 0))", "90.0"),
        ("degrees(geo_azimuth(10, 0, 0, 0))", "270.0"),
        ("geo_azimuth(5, 10, 5, 10)", ""),
    ],
    prepare: |_| Ok(kernel(|args| args.map_reals(|row| place(args, 0, row)?.azimuth(place(args, 2, row)?)))),
    ..ScalarFn::DEFAULT
};

static ANGLE: ScalarFn = ScalarFn {
    name: "geo_angle",
    summary: "The angle, clockwise in radians, from the line between the first two points to that between the last two",
    signature: all(
        &[
            ("p1_longitude", Type::Real),
            ("p1_latitude", Type::Real),
            ("p2_longitude", Type::Real),
            ("p2_latitude", Type::Real),
            ("p3_longitude", Type::Real),
            ("p3_latitude", Type::Real),
        ],
        Type::Real,
    ),
    examples: &[("round(geo_angle(0, 10, 0, 5, 3, -10), 9)", "2.944938434"), ("geo_angle(0, 10, 0, 10, 3, -10)", "")],
    prepare: |_| {
        Ok(kernel(|args| {
            args.map_reals(|row| {
                let (a, b, c) = (place(args, 0, row)?, place(args, 2, row)?, place(args, 4, row)?);
                Some(turn(b.azimuth(c)? - b.azimuth(a)?))
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static IN_CIRCLE: ScalarFn = ScalarFn {
    name: "geo_point_in_circle",
    summary: "True where a point is within a radius, in metres, of another",
    signature: all(
        &[
            ("p_longitude", Type::Real),
            ("p_latitude", Type::Real),
            ("pc_longitude", Type::Real),
            ("pc_latitude", Type::Real),
            ("c_radius", Type::Real),
        ],
        Type::Bool,
    ),
    examples: &[
        ("geo_point_in_circle(-122.143564, 47.535677, -122.100896, 47.527351, 3500)", "True"),
        ("geo_point_in_circle(200, 1, 1, 1, 1)", ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            args.map_bools(|row| {
                let radius = args.reals(4).get(row).filter(|radius| *radius >= 0.0)?;
                Some(place(args, 0, row)?.distance(place(args, 2, row)?) <= radius)
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static BUFFER: ScalarFn = ScalarFn {
    name: "geo_point_buffer",
    summary: "The polygon of everything within a radius, in metres, of a point",
    signature: some(
        &[("longitude", Type::Real), ("latitude", Type::Real), ("radius", Type::Real), ("tolerance", Type::Real)],
        3,
        Type::Dynamic,
    ),
    examples: &[
        ("round(geo_polygon_area(geo_point_buffer(-115.17, 36.15, 1000, 0.01)) / 1000000, 3)", "3.142"),
        ("geo_point_buffer(10, 10, -1)", ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            args.map_json(|row, out| {
                let tolerance = if args.len() > 3 { Some(args.reals(3).get(row)?) } else { None };
                let core = buffer::Core::Point(place(args, 0, row)?.point());
                write::polygons(out, &[buffer::buffer(core, args.reals(2).get(row)?, tolerance)?])
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static FROM_WKT: ScalarFn = ScalarFn {
    name: "geo_from_wkt",
    summary: "A shape in well-known text, as GeoJSON",
    signature: all(&[("wkt", Type::String)], Type::Dynamic),
    examples: &[
        (r#"geo_from_wkt("LINESTRING (1 2, 3 4)")"#, r#"{"type":"LineString","coordinates":[[1,2],[3,4]]}"#),
        (r#"geo_from_wkt("LINESTRING")"#, ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let texts = args.texts(0);
            args.map_json(|row, out| {
                out.push_str(&wkt::to_geojson(texts.get(row))?);
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};
