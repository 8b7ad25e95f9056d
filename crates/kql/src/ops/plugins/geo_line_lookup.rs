//! `geo_line_lookup` — see [`super::geo_lookup`].

use model::Type;

use super::geo_lookup::{Kind, bind};
use super::{Plugin, PluginArg, Shape};

pub static PLUGIN: Plugin = Plugin {
    name: "geo_line_lookup",
    summary: "Rows of a table whose GeoJSON line is within a radius of a point",
    args: &[
        PluginArg { name: "LookupTable", shape: Shape::Table },
        PluginArg { name: "LookupLineKey", shape: Shape::TableColumn },
        PluginArg { name: "SourceLongitude", shape: Shape::Expr },
        PluginArg { name: "SourceLatitude", shape: Shape::Expr },
        PluginArg { name: "radius", shape: Shape::Const(Type::Real) },
        PluginArg { name: "return_unmatched", shape: Shape::Const(Type::Bool) },
        PluginArg { name: "lookup_area_radius", shape: Shape::Const(Type::Real) },
        PluginArg { name: "return_lookup_key", shape: Shape::Const(Type::Bool) },
    ],
    required: 5,
    repeats: false,
    needs_rows: false,
    bind: |call| bind(call, "geo_line_lookup", Kind::Lines),
    examples: &[(
        r#"print lng = 1.0, lat = 0.001 | evaluate geo_line_lookup((print name = "equator", shape = dynamic({"type":"LineString","coordinates":[[0,0],[4,0]]})), shape, lng, lat, 500)"#,
        "equator",
    )],
};
