//! Geospatial polygons: containment, area, perimeter, centroid, closest point, and conversions to other polygons.
//!
//! Source of truth: the public KQL reference, one page each (`geo-polygon-*`, `geo-point-in-polygon`, `geo-closest-point-on-polygon`,
//! `geo-distance-point-to-polygon`, `geo-simplify-polygons-array`). A polygon is a GeoJSON `Polygon`, or the union of the parts of a
//! `MultiPolygon`.

use model::Type;
use s2rst::s2::Region;

use super::geo_lines::{SIMPLIFY_TOLERANCE, densify_tolerance, simplify_tolerance};
use super::geo_points::place;
use super::shapes::{self, flag, real_or};
use super::signatures::{all, some};
use super::{Family, ScalarFn};
use crate::dynamic::elements;
use crate::geo::{EARTH_RADIUS, buffer, centroid, densify, nearest, overlay, perimeter, read, write};

pub static FAMILY: Family = &[&CONTAINS, &CLOSEST, &DISTANCE, &AREA, &PERIMETER, &CENTROID, &DENSIFY, &SIMPLIFY, &SIMPLIFY_ARRAY, &BUFFER];

const POLYGON: (&str, Type) = ("polygon", Type::Dynamic);
const POINT_AND_POLYGON: &[(&str, Type)] = &[("longitude", Type::Real), ("latitude", Type::Real), POLYGON];

static CONTAINS: ScalarFn = ScalarFn {
    name: "geo_point_in_polygon",
    summary: "True where a point is inside of a GeoJSON polygon",
    signature: all(POINT_AND_POLYGON, Type::Bool),
    examples: &[
        (r#"geo_point_in_polygon(1, 1, dynamic({"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,4],[0,0]]]}))"#, "True"),
        (r#"geo_point_in_polygon(5, 1, dynamic({"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,4],[0,0]]]}))"#, "False"),
        (r#"geo_point_in_polygon(1, 1, dynamic({"type":"Polygon","coordinates":[[[0,0],[10,10],[10,10],[0,0]]]}))"#, ""),
    ],
    prepare: |prepare| {
        shapes::bools(prepare, 2, read::polygon, |args, row, polygon| {
            let point = place(args, 0, row)?.point();
            Some(polygon.contains_point(&point))
        })
    },
    ..ScalarFn::DEFAULT
};

static CLOSEST: ScalarFn = ScalarFn {
    name: "geo_closest_point_on_polygon",
    summary: "The point of a GeoJSON polygon that is nearest to a point: the point itself where it is inside",
    signature: all(POINT_AND_POLYGON, Type::Dynamic),
    examples: &[
        (
            r#"geo_closest_point_on_polygon(1.5, 1, dynamic({"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,4],[0,0]]]}))"#,
            r#"{"type":"Point","coordinates":[1.5,1]}"#,
        ),
        (r#"geo_closest_point_on_polygon(500, 1, dynamic({"type":"Polygon","coordinates":[[[0,0],[10,10],[10,1],[0,0]]]}))"#, ""),
    ],
    prepare: |prepare| {
        shapes::json(prepare, 2, read::polygon, |args, row, polygon, out| {
            let place = place(args, 0, row)?;
            match nearest::nearest_boundary(polygon, place.point()) {
                Some(nearest) => write::point(out, nearest),
                None => write::point_at(out, place),
            }
            Some(())
        })
    },
    ..ScalarFn::DEFAULT
};

static DISTANCE: ScalarFn = ScalarFn {
    name: "geo_distance_point_to_polygon",
    summary: "The shortest distance between a point and a GeoJSON polygon, in metres: zero inside",
    signature: all(POINT_AND_POLYGON, Type::Real),
    examples: &[
        (r#"geo_distance_point_to_polygon(1, 1, dynamic({"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,4],[0,0]]]}))"#, "0.0"),
        (r#"geo_distance_point_to_polygon(500, 1, dynamic({"type":"Polygon","coordinates":[[[0,0],[10,10],[10,1],[0,0]]]}))"#, ""),
    ],
    prepare: |prepare| {
        shapes::reals(prepare, 2, read::polygon, |args, row, polygon| {
            let point = place(args, 0, row)?.point();
            Some(nearest::distance_to_polygon(polygon, point))
        })
    },
    ..ScalarFn::DEFAULT
};

static AREA: ScalarFn = ScalarFn {
    name: "geo_polygon_area",
    summary: "The area of a GeoJSON polygon or of the union of several, in square metres",
    signature: all(&[POLYGON], Type::Real),
    examples: &[
        (
            r#"round(geo_polygon_area(dynamic({"type":"Polygon","coordinates":[[[0,0],[90,0],[0,90],[0,0]]]})) / pow(6371010, 2) / pi(), 9)"#,
            "0.5",
        ),
        (r#"geo_polygon_area(dynamic({"type":"Polygon","coordinates":[[[0,0],[10,10],[10,10],[0,0]]]}))"#, ""),
    ],
    prepare: |prepare| {
        shapes::reals(prepare, 0, |json| Some(read::polygon(json)?.area() * EARTH_RADIUS * EARTH_RADIUS), |_, _, polygon| Some(*polygon))
    },
    ..ScalarFn::DEFAULT
};

static PERIMETER: ScalarFn = ScalarFn {
    name: "geo_polygon_perimeter",
    summary: "The length of the boundary of a GeoJSON polygon or of the union of several, in metres",
    signature: all(&[POLYGON], Type::Real),
    examples: &[
        (
            r#"round(geo_polygon_perimeter(dynamic({"type":"Polygon","coordinates":[[[0,0],[90,0],[0,90],[0,0]]]})) / 6371010 / pi(), 9)"#,
            "1.5",
        ),
        (r#"geo_polygon_perimeter(dynamic({"type":"Polygon","coordinates":[[[0,0],[10,10],[10,10],[0,0]]]}))"#, ""),
    ],
    prepare: |prepare| shapes::reals(prepare, 0, |json| Some(perimeter(&read::polygon(json)?)), |_, _, polygon| Some(*polygon)),
    ..ScalarFn::DEFAULT
};

static CENTROID: ScalarFn = ScalarFn {
    name: "geo_polygon_centroid",
    summary: "The centroid of a GeoJSON polygon or of the union of several, as a GeoJSON point",
    signature: all(&[POLYGON], Type::Dynamic),
    examples: &[
        (
            r#"round(todouble(geo_polygon_centroid(dynamic({"type":"Polygon","coordinates":[[[0,0],[90,0],[0,90],[0,0]]]})).coordinates[0]), 9)"#,
            "45.0",
        ),
        (r#"geo_polygon_centroid(dynamic({"type":"Polygon","coordinates":[[[0,0],[10,10],[10,10],[0,0]]]}))"#, ""),
    ],
    prepare: |prepare| {
        shapes::json(
            prepare,
            0,
            |json| centroid(&read::polygon(json)?),
            |_, _, polygon, out| {
                write::point(out, *polygon);
                Some(())
            },
        )
    },
    ..ScalarFn::DEFAULT
};

static DENSIFY: ScalarFn = ScalarFn {
    name: "geo_polygon_densify",
    summary: "A GeoJSON polygon with points put in, so that its geodesics stay within a tolerance, in metres, of straight lines on the map",
    signature: some(&[POLYGON, ("tolerance", Type::Real), ("preserve_crossing", Type::Bool)], 1, Type::Dynamic),
    examples: &[
        (
            r#"geo_polygon_densify(dynamic({"type":"Polygon","coordinates":[[[10,10],[11,10],[11,11],[10,11],[10,10]]]}), 30)"#,
            r#"{"type":"Polygon","coordinates":[[[10,10],[10.5,10],[11,10],[11,11],[10.5,11],[10,11],[10,10]]]}"#,
        ),
        (r#"geo_polygon_densify(dynamic({"type":"Polygon","coordinates":[[[10,10],[11,10],[11,11],[10,10]]]}), 0)"#, ""),
    ],
    prepare: |prepare| {
        // Rings that cross on the sphere may not cross on the map, so each representation is validated separately.
        shapes::json(
            prepare,
            0,
            |json| read::polygon_coordinates(json).filter(|polygon| polygon.parts.iter().all(|rings| read::has_proper_rings(rings))),
            |args, row, polygon, out| {
                let tolerance = densify_tolerance(real_or(args, 1, row, densify::TOLERANCE)?)?;
                let crossing = flag(args, 2, row)?;
                let mut room = densify::MOST_POINTS;
                let mut parts = Vec::with_capacity(polygon.parts.len());
                for rings in &polygon.parts {
                    let rings: Option<Vec<_>> = rings.iter().map(|ring| densify::densify(ring, tolerance, crossing, &mut room)).collect();
                    parts.push(rings?);
                }
                write::polygon_positions(out, &parts, polygon.multi);
                Some(())
            },
        )
    },
    ..ScalarFn::DEFAULT
};

static SIMPLIFY: ScalarFn = ScalarFn {
    name: "geo_polygon_simplify",
    summary: "A GeoJSON polygon with nearly straight chains of short edges made one, to a tolerance in metres",
    signature: some(&[POLYGON, ("tolerance", Type::Real)], 1, Type::Dynamic),
    examples: &[
        (
            r#"array_length(geo_polygon_simplify(dynamic({"type":"Polygon","coordinates":[[[0,0],[2,0],[4,0.00001],[4,4],[0,0]]]}), 2000).coordinates[0])"#,
            "4",
        ),
        (r#"geo_polygon_simplify(dynamic({"type":"Polygon","coordinates":[[[5,48],[0,50],[0,47],[4,47],[5,48]]]}), -0.1)"#, ""),
    ],
    prepare: |prepare| {
        shapes::json(prepare, 0, read::polygon, |args, row, polygon, out| {
            let tolerance = simplify_tolerance(real_or(args, 1, row, SIMPLIFY_TOLERANCE)?)?;
            write::polygons(out, &overlay::simplify_polygons(std::slice::from_ref(polygon), tolerance)?)
        })
    },
    ..ScalarFn::DEFAULT
};

static SIMPLIFY_ARRAY: ScalarFn = ScalarFn {
    name: "geo_simplify_polygons_array",
    summary: "GeoJSON polygons simplified together, to a tolerance in metres, so that borders that they share stay shared",
    signature: some(&[("polygons", Type::Dynamic), ("tolerance", Type::Real)], 1, Type::Dynamic),
    examples: &[
        (
            r#"array_length(geo_simplify_polygons_array(dynamic([{"type":"Polygon","coordinates":[[[0,0],[2,0],[4,0.00001],[4,4],[0,0]]]}]), 2000).coordinates[0])"#,
            "4",
        ),
        (r#"geo_simplify_polygons_array(dynamic([{"type":"Polygon","coordinates":[[[0,0]]]}]))"#, ""),
    ],
    prepare: |prepare| {
        shapes::json(
            prepare,
            0,
            |json| elements(json)?.map(read::polygon).collect::<Option<Vec<_>>>(),
            |args, row, polygons, out| {
                let tolerance = simplify_tolerance(real_or(args, 1, row, SIMPLIFY_TOLERANCE)?)?;
                write::polygons(out, &overlay::simplify_polygons(polygons, tolerance)?)
            },
        )
    },
    ..ScalarFn::DEFAULT
};

static BUFFER: ScalarFn = ScalarFn {
    name: "geo_polygon_buffer",
    summary: "The polygon of everything within a radius, in metres, of a GeoJSON polygon",
    signature: some(&[POLYGON, ("radius", Type::Real), ("tolerance", Type::Real)], 2, Type::Dynamic),
    examples: &[
        (
            r#"geo_point_in_polygon(4.01, 1, geo_polygon_buffer(dynamic({"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,4],[0,0]]]}), 2000))"#,
            "True",
        ),
        (r#"geo_polygon_buffer(dynamic({"type":"Polygon","coordinates":[[[10,10],[0,10],[0,0],[10,10]]]}), 0)"#, ""),
    ],
    prepare: |prepare| {
        shapes::json(prepare, 0, read::polygon, |args, row, polygon, out| {
            let tolerance = if args.len() > 2 { Some(args.reals(2).get(row)?) } else { None };
            let radius = args.reals(1).get(row)?;
            write::polygons(out, &[buffer::buffer(buffer::Core::Polygon(polygon), radius, tolerance)?])
        })
    },
    ..ScalarFn::DEFAULT
};
