//! Geospatial grids: S2 cells (`geo_*_s2cell*`) and H3 cells (`geo_*_h3cell*`).
//!
//! Source of truth: the public KQL reference, one page each. S2 is implemented by `s2rst`, H3 by `h3o`. Invalid tokens, levels and
//! coordinates give null, or `""` for a string result.

use h3o::{CellIndex, LatLng as H3Place, Resolution};
use model::Type;
use s2rst::s2::{Cell, CellId, CellVertex, LatLng, Level, Polygon};

use super::geo_points::place;
use super::shapes::{Shape, long_or, real_or};
use super::signatures::{all, some};
use super::{Args, Family, ScalarFn, kernel};
use crate::geo::nearest::LineIndex;
use crate::geo::read::Ring;
use crate::geo::{EARTH_RADIUS, Position, angle, buffer, cover, hexagons, read, write};

pub static FAMILY: Family = &[
    &TO_S2,
    &S2_CENTRE,
    &S2_POLYGON,
    &S2_NEIGHBORS,
    &LINE_S2,
    &POLYGON_S2,
    &TO_H3,
    &H3_CENTRE,
    &H3_POLYGON,
    &H3_NEIGHBORS,
    &H3_RINGS,
    &H3_CHILDREN,
    &H3_PARENT,
    &H3_LEVEL,
    &POLYGON_H3,
];

/// Default S2 level.
const S2_LEVEL: i64 = 11;
/// Default H3 resolution.
const H3_RESOLUTION: i64 = 6;
/// Maximum number of levels between an H3 cell and its children.
const MOST_GENERATIONS: u8 = 5;
/// Maximum number of rings around an H3 cell.
const MOST_RINGS: i64 = 142;

fn level(number: Option<i64>) -> Option<Level> {
    number.and_then(|number| u8::try_from(number).ok()).and_then(|number| Level::try_from(number).ok())
}

fn resolution(number: Option<i64>) -> Option<Resolution> {
    number.and_then(|number| u8::try_from(number).ok()).and_then(|number| Resolution::try_from(number).ok())
}

fn s2_cell(token: &str) -> Option<CellId> {
    Some(CellId::from_token(token)).filter(|cell| cell.is_valid())
}

fn h3_cell(token: &str) -> Option<CellIndex> {
    token.parse().ok()
}

/// Writes tokens, which need no escapes, as a JSON array.
fn push_tokens(out: &mut String, tokens: impl IntoIterator<Item = String>) {
    out.push('[');
    for (at, token) in tokens.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push('"');
        out.push_str(&token);
        out.push('"');
    }
    out.push(']');
}

fn push_ring(out: &mut String, mut ring: Ring) {
    ring.extend(ring.first().copied());
    write::polygon_positions(out, &[vec![ring]], false);
}

static TO_S2: ScalarFn = ScalarFn {
    name: "geo_point_to_s2cell",
    summary: "The token of the S2 cell, of level 0 to 30, that holds a point; level 11 unless told",
    signature: some(&[("longitude", Type::Real), ("latitude", Type::Real), ("level", Type::Long)], 2, Type::String),
    examples: &[("geo_point_to_s2cell(-80.195829, 25.802215, 8)", "88d9b"), ("geo_point_to_s2cell(1, 1, 35)", "")],
    prepare: |_| {
        Ok(kernel(|args| {
            args.map_texts(|row, out| {
                if let Some((place, level)) = place(args, 0, row).zip(level(long_or(args, 2, row, S2_LEVEL))) {
                    let cell = CellId::from_lat_lng(&LatLng::from_degrees(place.lat, place.lng));
                    out.push_str(&cell.parent_at_level(level).to_token());
                }
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static S2_CENTRE: ScalarFn = ScalarFn {
    name: "geo_s2cell_to_central_point",
    summary: "The middle of an S2 cell, as a GeoJSON point",
    signature: all(&[("s2cell", Type::String)], Type::Dynamic),
    examples: &[
        (r#"round(todouble(geo_s2cell_to_central_point("1234567").coordinates[0]), 9)"#, "9.868307319"),
        (r#"geo_s2cell_to_central_point("a")"#, ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let tokens = args.texts(0);
            args.map_json(|row, out| {
                write::point(out, s2_cell(tokens.get(row))?.to_point());
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static S2_POLYGON: ScalarFn = ScalarFn {
    name: "geo_s2cell_to_polygon",
    summary: "The area of an S2 cell, as a GeoJSON polygon",
    signature: all(&[("s2cell", Type::String)], Type::Dynamic),
    examples: &[
        (r#"round(todouble(geo_s2cell_to_polygon("89c259").coordinates[0][0][0]), 9)"#, "-74.03001225"),
        (r#"geo_s2cell_to_polygon("a")"#, ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let tokens = args.texts(0);
            args.map_json(|row, out| {
                let cell = Cell::from_cell_id(s2_cell(tokens.get(row))?);
                let corners = CellVertex::ALL.into_iter().map(|corner| LatLng::from_point(cell.vertex(corner)));
                push_ring(out, corners.map(|corner| Position { lng: corner.lng.degrees(), lat: corner.lat.degrees() }).collect());
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static S2_NEIGHBORS: ScalarFn = ScalarFn {
    name: "geo_s2cell_neighbors",
    summary: "The tokens of the S2 cells around a cell, as an array",
    signature: all(&[("s2cell", Type::String)], Type::Dynamic),
    examples: &[
        (r#"geo_s2cell_neighbors("89c259")"#, r#"["89c25d","89c2f9","89c251","89c257","89c25f","89c25b","89c2f7","89c2f5"]"#),
        (r#"geo_s2cell_neighbors("a")"#, ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let tokens = args.texts(0);
            args.map_json(|row, out| {
                let cell = s2_cell(tokens.get(row))?;
                let around = cell.all_neighbors(cell.level())?;
                // In the order of the reference's example. At a corner of the cube two of the eight neighbours are the same.
                let mut ordered: Vec<CellId> = Vec::with_capacity(around.len());
                for at in [7, 0, 1, 2, 3, 5, 4, 6] {
                    ordered.extend(around.get(at).filter(|cell| !ordered.contains(cell)));
                }
                push_tokens(out, ordered.into_iter().map(CellId::to_token));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static LINE_S2: ScalarFn = ScalarFn {
    name: "geo_line_to_s2cells",
    summary: "The tokens of the S2 cells of one level (11 unless told) that cover a GeoJSON line, or all within a radius of it",
    signature: some(&[("lineString", Type::Dynamic), ("level", Type::Long), ("radius", Type::Real)], 1, Type::Dynamic),
    examples: &[
        (
            r#"set_has_element(geo_line_to_s2cells(dynamic({"type":"LineString","coordinates":[[0,0],[1,1]]}), 8), geo_point_to_s2cell(0, 0, 8))"#,
            "True",
        ),
        (r#"geo_line_to_s2cells(dynamic({"type":"LineString","coordinates":[[[0,0],[0,0]]]}))"#, ""),
    ],
    prepare: |prepare| {
        let line = Shape::new(prepare, 0, |json| {
            let lines = read::lines(json)?;
            let longest = cover::longest_edge(lines.0.iter().map(Vec::as_slice), false);
            Some((LineIndex::new(&lines), longest))
        });
        Ok(kernel(move |args| {
            let mut lines = line.rows(args);
            args.map_json(|row, out| {
                let (level, radius) = (level(long_or(args, 1, row, S2_LEVEL))?, real_or(args, 2, row, 0.0)?);
                let (line, longest) = lines.at(row)?;
                let area = disc(radius);
                let cells = cover::cover(line.index(), level, radius, area, *longest)?;
                push_tokens(out, cells.into_iter().map(CellId::to_token));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

/// Area in steradians of a disc with this radius in metres.
fn disc(radius: f64) -> f64 {
    std::f64::consts::TAU * (1.0 - angle(radius).radians().clamp(0.0, std::f64::consts::PI).cos())
}

static POLYGON_S2: ScalarFn = ScalarFn {
    name: "geo_polygon_to_s2cells",
    summary: "The tokens of the S2 cells of one level (11 unless told) that cover a GeoJSON polygon, or all within a radius of it",
    signature: some(&[("polygon", Type::Dynamic), ("level", Type::Long), ("radius", Type::Real)], 1, Type::Dynamic),
    examples: &[
        (r#"array_length(geo_polygon_to_s2cells(dynamic({"type":"Polygon","coordinates":[[[0,0],[0,50],[100,50],[0,0]]]}), 5))"#, "286"),
        (r#"geo_polygon_to_s2cells(dynamic({"type":"Polygon","coordinates":[[[0,0],[0,50],[100,50],[0,0]]]}), 30)"#, ""),
    ],
    prepare: |prepare| {
        let polygon = Shape::new(prepare, 0, |json| {
            let polygon = read::polygon(json)?;
            let longest = cover::longest_edge(polygon.loops().iter().map(|ring| ring.vertices()), true);
            Some((polygon, longest))
        });
        Ok(kernel(move |args| {
            let mut polygons = polygon.rows(args);
            args.map_json(|row, out| {
                let (level, radius) = (level(long_or(args, 1, row, S2_LEVEL))?, real_or(args, 2, row, 0.0)?);
                let (polygon, longest) = polygons.at(row)?;
                let area = polygon.area().max(disc(radius));
                let cells = cover::cover(polygon.shape_index(), level, radius, area, *longest)?;
                push_tokens(out, cells.into_iter().map(CellId::to_token));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static TO_H3: ScalarFn = ScalarFn {
    name: "geo_point_to_h3cell",
    summary: "The token of the H3 cell, of resolution 0 to 15, that holds a point; resolution 6 unless told",
    signature: some(&[("longitude", Type::Real), ("latitude", Type::Real), ("resolution", Type::Long)], 2, Type::String),
    examples: &[
        ("geo_point_to_h3cell(-74.04450446039874, 40.689250859314974, 6)", "862a1072fffffff"),
        ("geo_point_to_h3cell(1, 1, 16)", ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            args.map_texts(|row, out| {
                let resolution = resolution(long_or(args, 2, row, H3_RESOLUTION));
                if let Some((place, resolution)) = place(args, 0, row).zip(resolution)
                    && let Ok(place) = H3Place::new(place.lat, place.lng)
                {
                    out.push_str(&place.to_cell(resolution).to_string());
                }
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static H3_CENTRE: ScalarFn = ScalarFn {
    name: "geo_h3cell_to_central_point",
    summary: "The middle of an H3 cell, as a GeoJSON point",
    signature: all(&[("h3cell", Type::String)], Type::Dynamic),
    examples: &[
        (r#"round(todouble(geo_h3cell_to_central_point("862a1072fffffff").coordinates[0]), 9)"#, "-74.01600848"),
        (r#"geo_h3cell_to_central_point("1")"#, ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let tokens = args.texts(0);
            args.map_json(|row, out| {
                let centre = H3Place::from(h3_cell(tokens.get(row))?);
                write::point_at(out, Position { lng: centre.lng(), lat: centre.lat() });
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static H3_POLYGON: ScalarFn = ScalarFn {
    name: "geo_h3cell_to_polygon",
    summary: "The area of an H3 cell, as a GeoJSON polygon",
    signature: all(&[("h3cell", Type::String)], Type::Dynamic),
    examples: &[(r#"array_length(geo_h3cell_to_polygon("862a1072fffffff").coordinates[0])"#, "7"), (r#"geo_h3cell_to_polygon("@")"#, "")],
    prepare: |_| {
        Ok(kernel(|args| {
            let tokens = args.texts(0);
            args.map_json(|row, out| {
                let boundary = h3_cell(tokens.get(row))?.boundary();
                push_ring(out, boundary.iter().map(|corner| Position { lng: corner.lng(), lat: corner.lat() }).collect());
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

/// The rings around a cell, starting with the cell itself; each in H3's order.
fn rings(cell: CellIndex, most: u32) -> Vec<Vec<CellIndex>> {
    let mut rings = vec![Vec::new(); most as usize + 1];
    // Around a pentagon the fast algorithm fails, and a slower one returns the cells in another order.
    let walked: Option<Vec<(CellIndex, u32)>> = cell.grid_disk_distances_fast(most).collect();
    for (cell, distance) in walked.unwrap_or_else(|| cell.grid_disk_distances_safe(most).collect()) {
        if let Some(ring) = rings.get_mut(distance as usize) {
            ring.push(cell);
        }
    }
    rings
}

static H3_NEIGHBORS: ScalarFn = ScalarFn {
    name: "geo_h3cell_neighbors",
    summary: "The tokens of the H3 cells around a cell, as an array",
    signature: all(&[("h3cell", Type::String)], Type::Dynamic),
    examples: &[
        (
            r#"geo_h3cell_neighbors("862a1072fffffff")"#,
            r#"["862a10727ffffff","862a10707ffffff","862a1070fffffff","862a10777ffffff","862a100dfffffff","862a100d7ffffff"]"#,
        ),
        (r#"geo_h3cell_neighbors("abc")"#, ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let tokens = args.texts(0);
            args.map_json(|row, out| {
                push_tokens(out, rings(h3_cell(tokens.get(row))?, 1).pop()?.iter().map(CellIndex::to_string));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static H3_RINGS: ScalarFn = ScalarFn {
    name: "geo_h3cell_rings",
    summary: "The tokens of the H3 cells around a cell, as an array of rings, up to a distance of 142",
    signature: all(&[("h3cell", Type::String), ("distance", Type::Long)], Type::Dynamic),
    examples: &[
        (
            r#"geo_h3cell_rings("861f8894fffffff", 1)"#,
            r#"[["861f8894fffffff"],["861f88947ffffff","861f8895fffffff","861f88867ffffff","861f8d497ffffff","861f8d4b7ffffff","861f8896fffffff"]]"#,
        ),
        (r#"geo_h3cell_rings("861f8894fffffff", 150)"#, ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let tokens = args.texts(0);
            args.map_json(|row, out| {
                let distance = args.longs(1).get(row).filter(|distance| (0..=MOST_RINGS).contains(distance))?;
                out.push('[');
                for (at, ring) in rings(h3_cell(tokens.get(row))?, distance as u32).iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    push_tokens(out, ring.iter().map(CellIndex::to_string));
                }
                out.push(']');
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

/// The resolution in argument 1, or the one `step` away from the cell's.
fn related(args: &Args, row: usize, cell: CellIndex, step: i64) -> Option<Resolution> {
    resolution(long_or(args, 1, row, i64::from(u8::from(cell.resolution())) + step))
}

static H3_CHILDREN: ScalarFn = ScalarFn {
    name: "geo_h3cell_children",
    summary: "The tokens of the H3 cells in a cell, of a resolution at most 5 finer; of the next unless told",
    signature: some(&[("h3cell", Type::String), ("resolution", Type::Long)], 1, Type::Dynamic),
    examples: &[
        (r#"array_length(geo_h3cell_children("862a1072fffffff"))"#, "7"),
        (r#"array_length(geo_h3cell_children("862a1072fffffff", 9))"#, "343"),
        (r#"geo_h3cell_children("abc")"#, ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let tokens = args.texts(0);
            args.map_json(|row, out| {
                let cell = h3_cell(tokens.get(row))?;
                let wanted = related(args, row, cell, 1)?;
                let generations = u8::from(wanted).checked_sub(u8::from(cell.resolution()))?;
                if generations > MOST_GENERATIONS {
                    return None;
                }
                push_tokens(out, cell.children(wanted).map(|child| child.to_string()));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static H3_PARENT: ScalarFn = ScalarFn {
    name: "geo_h3cell_parent",
    summary: "The token of the H3 cell of a coarser resolution around a cell; of the next unless told",
    signature: some(&[("h3cell", Type::String), ("resolution", Type::Long)], 1, Type::String),
    examples: &[
        (r#"geo_h3cell_parent("862a1072fffffff")"#, "852a1073fffffff"),
        (r#"geo_h3cell_parent("862a1072fffffff", 1)"#, "812a3ffffffffff"),
        (r#"geo_h3cell_parent("862a1072fffffff", 15)"#, ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let tokens = args.texts(0);
            args.map_texts(|row, out| {
                let cell = h3_cell(tokens.get(row));
                let parent = cell.and_then(|cell| cell.parent(related(args, row, cell, -1)?));
                if let Some(parent) = parent {
                    out.push_str(&parent.to_string());
                }
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static H3_LEVEL: ScalarFn = ScalarFn {
    name: "geo_h3cell_level",
    summary: "The resolution of an H3 cell, 0 to 15",
    signature: all(&[("h3cell", Type::String)], Type::Int),
    examples: &[(r#"geo_h3cell_level("862a1072fffffff")"#, "6"), (r#"geo_h3cell_level("abc")"#, "")],
    prepare: |_| {
        Ok(kernel(|args| {
            let tokens = args.texts(0);
            args.map_ints(|row| Some(i32::from(u8::from(h3_cell(tokens.get(row))?.resolution()))))
        }))
    },
    ..ScalarFn::DEFAULT
};

/// A polygon, as an area on the sphere and as drawn on the map.
struct Drawn {
    polygon: Polygon,
    rings: Vec<Vec<Ring>>,
}

static POLYGON_H3: ScalarFn = ScalarFn {
    name: "geo_polygon_to_h3cells",
    summary: "The tokens of the H3 cells of one resolution (6 unless told) whose centres are in a GeoJSON polygon, or within a radius of it",
    signature: some(&[("polygon", Type::Dynamic), ("resolution", Type::Long), ("radius", Type::Real)], 1, Type::Dynamic),
    examples: &[
        (
            r#"array_length(geo_polygon_to_h3cells(dynamic({"type":"Polygon","coordinates":[[[-3.659,40.553],[-3.913,40.409],[-3.729,40.273],[-3.524,40.440],[-3.659,40.553]]]})))"#,
            "13",
        ),
        (r#"geo_polygon_to_h3cells(dynamic({"type":"Polygon","coordinates":[[[0,0],[1,1]]]}))"#, ""),
    ],
    prepare: |prepare| {
        let polygon =
            Shape::new(prepare, 0, |json| Some(Drawn { polygon: read::polygon(json)?, rings: read::polygon_coordinates(json)?.parts }));
        Ok(kernel(move |args| {
            let mut polygons = polygon.rows(args);
            args.map_json(|row, out| {
                let (resolution, radius) = (resolution(long_or(args, 1, row, H3_RESOLUTION))?, real_or(args, 2, row, 0.0)?);
                let drawn = polygons.at(row)?;
                let area = |polygon: &Polygon| polygon.area() * EARTH_RADIUS * EARTH_RADIUS;
                let cells = if radius == 0.0 {
                    hexagons::fill(&drawn.rings, resolution, area(&drawn.polygon))?
                } else {
                    let wider = buffer::buffer(buffer::Core::Polygon(&drawn.polygon), radius, None)?;
                    hexagons::fill(&write::positions(std::slice::from_ref(&wider)), resolution, area(&wider))?
                };
                push_tokens(out, cells.iter().map(CellIndex::to_string));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};
