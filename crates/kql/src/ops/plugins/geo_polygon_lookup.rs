//! `geo_polygon_lookup` — see [`super::geo_lookup`].

use model::Type;

use super::geo_lookup::{Kind, bind};
use super::{Plugin, PluginArg, Shape};

pub static PLUGIN: Plugin = Plugin {
    name: "geo_polygon_lookup",
    summary: "Rows of a table whose GeoJSON polygon holds a point, or is within a radius of it",
    args: &[
        PluginArg { name: "LookupTable", shape: Shape::Table },
        PluginArg { name: "LookupPolygonKey", shape: Shape::TableColumn },
        PluginArg { name: "SourceLongitude", shape: Shape::Expr },
        PluginArg { name: "SourceLatitude", shape: Shape::Expr },
        PluginArg { name: "radius", shape: Shape::Const(Type::Real) },
        PluginArg { name: "return_unmatched", shape: Shape::Const(Type::Bool) },
        PluginArg { name: "lookup_area_radius", shape: Shape::Const(Type::Real) },
        PluginArg { name: "return_lookup_key", shape: Shape::Const(Type::Bool) },
    ],
    required: 4,
    repeats: false,
    needs_rows: false,
    bind: |call| bind(call, "geo_polygon_lookup", Kind::Polygons),
    examples: &[(
        r#"print lng = 1.0, lat = 1.0 | evaluate geo_polygon_lookup((print name = "square", shape = dynamic({"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,4],[0,0]]]})), shape, lng, lat)"#,
        "square",
    )],
};
