//! Intersections and unions of shapes: `geo_intersects_*`, `geo_intersection_*`, `geo_union_*_array`.
//!
//! Source of truth: the public KQL reference, one page each. Shapes are closed sets: two that touch intersect in a point.

use model::Type;
use s2rst::s2::Polygon;

use super::shapes::{self, Shape};
use super::signatures::all;
use super::{Family, Kernel, Prepare, ScalarFn, kernel};
use crate::dynamic::elements;
use crate::geo::overlay::{Operand, intersection, intersects, unite_lines};
use crate::geo::{Lines, read, write};

pub static FAMILY: Family =
    &[&INTERSECTS_LINES, &INTERSECTS_LINE_POLYGON, &INTERSECTS_POLYGONS, &LINES, &LINE_POLYGON, &POLYGONS, &UNION_LINES, &UNION_POLYGONS];

type Read<T> = fn(&str) -> Option<T>;

fn whether<A: Operand + Send + Sync + 'static, B: Operand + Send + Sync + 'static>(
    prepare: &Prepare,
    a: Read<A>,
    b: Read<B>,
) -> Box<dyn Kernel> {
    let (a, b) = (Shape::new(prepare, 0, a), Shape::new(prepare, 1, b));
    kernel(move |args| {
        let (mut a, mut b) = (a.rows(args), b.rows(args));
        args.map_bools(|row| Some(intersects(a.at(row)?, b.at(row)?)))
    })
}

fn what<A: Operand + Send + Sync + 'static, B: Operand + Send + Sync + 'static>(
    prepare: &Prepare,
    a: Read<A>,
    b: Read<B>,
) -> Box<dyn Kernel> {
    let (a, b) = (Shape::new(prepare, 0, a), Shape::new(prepare, 1, b));
    kernel(move |args| {
        let (mut a, mut b) = (a.rows(args), b.rows(args));
        args.map_json(|row, out| {
            write::geometry(out, &intersection(a.at(row)?, b.at(row)?)?);
            Some(())
        })
    })
}

const TWO_LINES: &[(&str, Type)] = &[("lineString1", Type::Dynamic), ("lineString2", Type::Dynamic)];
const LINE_AND_POLYGON: &[(&str, Type)] = &[("lineString", Type::Dynamic), ("polygon", Type::Dynamic)];
const TWO_POLYGONS: &[(&str, Type)] = &[("polygon1", Type::Dynamic), ("polygon2", Type::Dynamic)];

static INTERSECTS_LINES: ScalarFn = ScalarFn {
    name: "geo_intersects_2lines",
    summary: "True where two GeoJSON lines intersect",
    signature: all(TWO_LINES, Type::Bool),
    examples: &[
        (
            r#"geo_intersects_2lines(dynamic({"type":"LineString","coordinates":[[0,0],[2,2]]}), dynamic({"type":"LineString","coordinates":[[0,2],[2,0]]}))"#,
            "True",
        ),
        (
            r#"geo_intersects_2lines(dynamic({"type":"LineString","coordinates":[[0,0],[2,2]]}), dynamic({"type":"LineString","coordinates":[[3,2],[3,0]]}))"#,
            "False",
        ),
    ],
    prepare: |prepare| Ok(whether(prepare, read::lines, read::lines)),
    ..ScalarFn::DEFAULT
};

static INTERSECTS_LINE_POLYGON: ScalarFn = ScalarFn {
    name: "geo_intersects_line_with_polygon",
    summary: "True where a GeoJSON line intersects a GeoJSON polygon",
    signature: all(LINE_AND_POLYGON, Type::Bool),
    examples: &[
        (
            r#"geo_intersects_line_with_polygon(dynamic({"type":"LineString","coordinates":[[1,1],[2,1]]}), dynamic({"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,4],[0,0]]]}))"#,
            "True",
        ),
        (
            r#"geo_intersects_line_with_polygon(dynamic({"type":"LineString","coordinates":[[5,1],[6,1]]}), dynamic({"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,4],[0,0]]]}))"#,
            "False",
        ),
    ],
    prepare: |prepare| Ok(whether(prepare, read::lines, read::polygon)),
    ..ScalarFn::DEFAULT
};

static INTERSECTS_POLYGONS: ScalarFn = ScalarFn {
    name: "geo_intersects_2polygons",
    summary: "True where two GeoJSON polygons intersect",
    signature: all(TWO_POLYGONS, Type::Bool),
    examples: &[
        (
            r#"geo_intersects_2polygons(dynamic({"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,4],[0,0]]]}), dynamic({"type":"Polygon","coordinates":[[[1,1],[2,1],[2,2],[1,1]]]}))"#,
            "True",
        ),
        (
            r#"geo_intersects_2polygons(dynamic({"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,4],[0,0]]]}), dynamic({"type":"Polygon","coordinates":[[[5,1],[6,1],[6,2],[5,1]]]}))"#,
            "False",
        ),
    ],
    prepare: |prepare| Ok(whether(prepare, read::polygon, read::polygon)),
    ..ScalarFn::DEFAULT
};

static LINES: ScalarFn = ScalarFn {
    name: "geo_intersection_2lines",
    summary: "What two GeoJSON lines have in common, as GeoJSON",
    signature: all(TWO_LINES, Type::Dynamic),
    examples: &[
        (
            r#"geo_intersection_2lines(dynamic({"type":"LineString","coordinates":[[0,0],[0,1]]}), dynamic({"type":"LineString","coordinates":[[0,0],[1,0]]}))"#,
            r#"{"type":"Point","coordinates":[0,0]}"#,
        ),
        (
            r#"geo_intersection_2lines(dynamic({"type":"LineString","coordinates":[[1,1],[2,2]]}), dynamic({"type":"LineString","coordinates":[[3,3],[4,4]]}))"#,
            r#"{"type":"GeometryCollection","geometries":[]}"#,
        ),
    ],
    prepare: |prepare| Ok(what(prepare, read::lines, read::lines)),
    ..ScalarFn::DEFAULT
};

static LINE_POLYGON: ScalarFn = ScalarFn {
    name: "geo_intersection_line_with_polygon",
    summary: "What a GeoJSON line and a GeoJSON polygon have in common, as GeoJSON",
    signature: all(LINE_AND_POLYGON, Type::Dynamic),
    examples: &[(
        r#"geo_intersection_line_with_polygon(dynamic({"type":"LineString","coordinates":[[5,1],[6,1]]}), dynamic({"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,4],[0,0]]]}))"#,
        r#"{"type":"GeometryCollection","geometries":[]}"#,
    )],
    prepare: |prepare| Ok(what(prepare, read::lines, read::polygon)),
    ..ScalarFn::DEFAULT
};

static POLYGONS: ScalarFn = ScalarFn {
    name: "geo_intersection_2polygons",
    summary: "What two GeoJSON polygons have in common, as GeoJSON",
    signature: all(TWO_POLYGONS, Type::Dynamic),
    examples: &[(
        r#"geo_intersection_2polygons(dynamic({"type":"Polygon","coordinates":[[[0,0],[0,1],[-1,0],[0,0]]]}), dynamic({"type":"Polygon","coordinates":[[[0,0],[1,0],[0,-1],[0,0]]]}))"#,
        r#"{"type":"Point","coordinates":[0,0]}"#,
    )],
    prepare: |prepare| Ok(what(prepare, read::polygon, read::polygon)),
    ..ScalarFn::DEFAULT
};

static UNION_LINES: ScalarFn = ScalarFn {
    name: "geo_union_lines_array",
    summary: "The union of GeoJSON lines in an array",
    signature: all(&[("lineStrings", Type::Dynamic)], Type::Dynamic),
    examples: &[
        (
            r#"geo_union_lines_array(dynamic([{"type":"LineString","coordinates":[[0,0],[1,0]]},{"type":"LineString","coordinates":[[1,0],[0,0]]}])).type"#,
            "LineString",
        ),
        (r#"geo_union_lines_array(dynamic([{"type":"LineString","coordinates":[[1,1]]}]))"#, ""),
    ],
    prepare: |prepare| {
        shapes::json(
            prepare,
            0,
            |json| unite_lines(&elements(json)?.map(read::lines).collect::<Option<Vec<_>>>()?).map(Lines),
            |_, _, lines, out| write::united_lines(out, lines),
        )
    },
    ..ScalarFn::DEFAULT
};

static UNION_POLYGONS: ScalarFn = ScalarFn {
    name: "geo_union_polygons_array",
    summary: "The union of GeoJSON polygons in an array",
    signature: all(&[("polygons", Type::Dynamic)], Type::Dynamic),
    examples: &[
        (
            r#"round(geo_polygon_area(geo_union_polygons_array(pack_array(geo_geohash_to_polygon("sunny"), geo_geohash_to_polygon("sunnt")))) / (geo_polygon_area(geo_geohash_to_polygon("sunny")) + geo_polygon_area(geo_geohash_to_polygon("sunnt"))), 6)"#,
            "1.0",
        ),
        (r#"geo_union_polygons_array(dynamic([{"type":"Polygon","coordinates":[[[1,1]]]}]))"#, ""),
    ],
    prepare: |prepare| {
        shapes::json(
            prepare,
            0,
            |json| {
                let polygons: Vec<Vec<Polygon>> = elements(json)?.map(read::polygons).collect::<Option<_>>()?;
                Some(Polygon::union_all(polygons.into_iter().flatten().collect()))
            },
            |_, _, polygons, out| write::polygons(out, std::slice::from_ref(polygons)),
        )
    },
    ..ScalarFn::DEFAULT
};
