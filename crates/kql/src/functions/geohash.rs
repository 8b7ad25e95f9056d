//! Geohashes: `geo_point_to_geohash`, `geo_geohash_to_central_point`, `geo_geohash_to_polygon`, `geo_geohash_neighbors`.
//!
//! Source of truth: the public KQL reference, one page each. A geohash has 1 to 18 characters; anything else gives null.

use model::Type;

use super::arrays::push_array;
use super::shapes::long_or;
use super::signatures::{all, some};
use super::{Family, ScalarFn, kernel};
use crate::geo::{Position, write};

pub static FAMILY: Family = &[&TO_GEOHASH, &CENTRAL_POINT, &TO_POLYGON, &NEIGHBORS];

const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";

/// Maximum length of a geohash.
const FINEST: usize = 18;

fn geohash(point: Position, characters: usize) -> String {
    let (mut lng, mut lat) = ((-180.0, 180.0), (-90.0, 90.0));
    let mut hash = String::new();
    let mut of_lng = true;
    for _ in 0..characters {
        let mut index = 0;
        for _ in 0..5 {
            let (range, value) = if of_lng { (&mut lng, point.lng) } else { (&mut lat, point.lat) };
            let middle = (range.0 + range.1) / 2.0;
            index <<= 1;
            if value >= middle {
                index |= 1;
                range.0 = middle;
            } else {
                range.1 = middle;
            }
            of_lng = !of_lng;
        }
        hash.push(ALPHABET[index] as char);
    }
    hash
}

/// West, south, east, north.
fn bounds(hash: &str) -> Option<[f64; 4]> {
    if hash.is_empty() || hash.len() > FINEST {
        return None;
    }
    let (mut lng, mut lat) = ((-180.0, 180.0), (-90.0, 90.0));
    let mut of_lng = true;
    for byte in hash.bytes() {
        let index = ALPHABET.iter().position(|letter| *letter == byte.to_ascii_lowercase())?;
        for bit in (0..5).rev() {
            let range = if of_lng { &mut lng } else { &mut lat };
            let middle = (range.0 + range.1) / 2.0;
            if index >> bit & 1 == 1 {
                range.0 = middle
            } else {
                range.1 = middle
            }
            of_lng = !of_lng;
        }
    }
    Some([lng.0, lat.0, lng.1, lat.1])
}

static TO_GEOHASH: ScalarFn = ScalarFn {
    name: "geo_point_to_geohash",
    summary: "The geohash of a point, of 1 to 18 characters, 5 unless told",
    signature: some(&[("longitude", Type::Real), ("latitude", Type::Real), ("accuracy", Type::Long)], 2, Type::String),
    examples: &[("geo_point_to_geohash(-80.195829, 25.802215, 8)", "dhwfz15h"), ("geo_point_to_geohash(1, 1, 25)", "")],
    prepare: |_| {
        Ok(kernel(|args| {
            args.map_texts(|row, out| {
                let accuracy = long_or(args, 2, row, 5).and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=FINEST).contains(n));
                if let Some((point, accuracy)) = super::geo_points::place(args, 0, row).zip(accuracy) {
                    out.push_str(&geohash(point, accuracy));
                }
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static CENTRAL_POINT: ScalarFn = ScalarFn {
    name: "geo_geohash_to_central_point",
    summary: "The middle of a geohash, as a GeoJSON point",
    signature: all(&[("geohash", Type::String)], Type::Dynamic),
    examples: &[
        (r#"geo_geohash_to_central_point("sunny").coordinates[0]"#, "42.47314453125"),
        (r#"geo_geohash_to_central_point("a")"#, ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let hash = args.texts(0);
            args.map_json(|row, out| {
                let [west, south, east, north] = bounds(hash.get(row))?;
                write::point_at(out, Position { lng: (west + east) / 2.0, lat: (south + north) / 2.0 });
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static TO_POLYGON: ScalarFn = ScalarFn {
    name: "geo_geohash_to_polygon",
    summary: "The area of a geohash, as a GeoJSON polygon",
    signature: all(&[("geohash", Type::String)], Type::Dynamic),
    examples: &[
        (r#"geo_geohash_to_polygon("dr5ru").coordinates[0][0]"#, "[-74.00390625,40.7373046875]"),
        (r#"geo_geohash_to_polygon("a")"#, ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let hash = args.texts(0);
            args.map_json(|row, out| {
                let [west, south, east, north] = bounds(hash.get(row))?;
                let ring = [(west, south), (east, south), (east, north), (west, north), (west, south)];
                let ring = ring.map(|(lng, lat)| Position { lng, lat }).to_vec();
                write::polygon_positions(out, &[vec![ring]], false);
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static NEIGHBORS: ScalarFn = ScalarFn {
    name: "geo_geohash_neighbors",
    summary: "The geohashes around a geohash, as an array",
    signature: all(&[("geohash", Type::String)], Type::Dynamic),
    examples: &[
        (r#"array_length(geo_geohash_neighbors("sunny"))"#, "8"),
        (r#"set_has_element(geo_geohash_neighbors("sunny"), "sunnv")"#, "True"),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let hash = args.texts(0);
            args.map_json(|row, out| {
                let hash = hash.get(row);
                let [west, south, east, north] = bounds(hash)?;
                let (width, height) = (east - west, north - south);
                let mut around = Vec::new();
                // In the order of the reference's example.
                for (x, y) in [(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (0.0, 1.0), (-1.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, -1.0)] {
                    let lat = (south + north) / 2.0 + y * height;
                    if lat.abs() > 90.0 {
                        continue;
                    }
                    let mut lng = (west + east) / 2.0 + x * width;
                    // Wrap around the antimeridian.
                    lng -= 360.0 * ((lng + 180.0) / 360.0).floor();
                    around.push(format!("\"{}\"", geohash(Position { lng, lat }, hash.len())));
                }
                push_array(out, around.iter().map(String::as_str));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};
