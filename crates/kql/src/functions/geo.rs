//! Points on the Earth and geohashes: `geo_distance_2points`, `geo_azimuth`, `geo_point_in_circle`, `geo_line_length`,
//! `geo_point_to_geohash`, `geo_geohash_to_central_point`, `geo_geohash_to_polygon`, `geo_geohash_neighbors`.
//!
//! Source of truth: the public KQL reference, one page each. Distances are on a sphere of 6 371 010 m, in metres. Longitudes lie in
//! [-180, 180], latitudes in [-90, 90]; anything else is null.

use model::Type;

use super::arrays::push_array;
use super::signatures::{all, some};
use super::{Args, Family, ScalarFn, kernel};
use crate::dynamic::{self, elements, property, push_real};

pub static FAMILY: Family = &[&DISTANCE, &AZIMUTH, &IN_CIRCLE, &LINE_LENGTH, &TO_GEOHASH, &CENTRAL_POINT, &TO_POLYGON, &NEIGHBORS];

const EARTH_RADIUS: f64 = 6_371_010.0;

/// Longitude and latitude, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    lng: f64,
    lat: f64,
}

impl Point {
    fn new(lng: f64, lat: f64) -> Option<Point> {
        (lng.abs() <= 180.0 && lat.abs() <= 90.0).then_some(Point { lng, lat })
    }

    /// The point in arguments `index` and the next.
    fn at(args: &Args, index: usize, row: usize) -> Option<Point> {
        Point::new(args.reals(index).get(row)?, args.reals(index + 1).get(row)?)
    }

    /// Metres, by the haversine formula.
    fn distance(self, other: Point) -> f64 {
        if self == other {
            return 0.0;
        }
        let (a, b) = (self.lat.to_radians(), other.lat.to_radians());
        let (lat, lng) = ((b - a) / 2.0, (other.lng - self.lng).to_radians() / 2.0);
        let h = lat.sin().powi(2) + a.cos() * b.cos() * lng.sin().powi(2);
        2.0 * EARTH_RADIUS * h.sqrt().min(1.0).asin()
    }
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
        ("geo_distance_2points(300, 1, 1, 1)", ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let [lng, lat, other_lng, other_lat] = [0, 1, 2, 3].map(|index| args.reals(index));
            args.map_reals(|row| {
                let point = Point::new(lng.get(row)?, lat.get(row)?)?;
                Some(point.distance(Point::new(other_lng.get(row)?, other_lat.get(row)?)?))
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static AZIMUTH: ScalarFn = ScalarFn {
    name: "geo_azimuth",
    summary: "The angle, clockwise from north in radians, at which a point is seen from another",
    signature: all(TWO_POINTS.split_at(4).0, Type::Real),
    examples: &[("geo_azimuth(0, 0, 0, 10)", "0.0"), ("degrees(geo_azimuth(0, 0, 10, 0))", "90.0")],
    prepare: |_| {
        Ok(kernel(|args| {
            args.map_reals(|row| {
                let (a, b) = (Point::at(args, 0, row)?, Point::at(args, 2, row)?);
                let (from, to, by) = (a.lat.to_radians(), b.lat.to_radians(), (b.lng - a.lng).to_radians());
                let (y, x) = (by.sin() * to.cos(), from.cos() * to.sin() - from.sin() * to.cos() * by.cos());
                Some(y.atan2(x))
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
                Some(Point::at(args, 0, row)?.distance(Point::at(args, 2, row)?) <= radius)
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static LINE_LENGTH: ScalarFn = ScalarFn {
    name: "geo_line_length",
    summary: "The length of a GeoJSON line or of several lines, in metres",
    signature: all(&[("lineString", Type::Dynamic)], Type::Real),
    examples: &[
        (
            r#"round(geo_line_length(dynamic({"type":"LineString","coordinates":[[-122.407628,47.578557],[-118.275287,34.019056]]})), 3)"#,
            "1546754.352",
        ),
        (r#"geo_line_length(dynamic({"type":"LineString","coordinates":[[1,1]]}))"#, ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let line = args.texts(0);
            args.map_reals(|row| {
                let line = line.opt(row)?;
                let (ty, coordinates) = (property(line, "type")?, property(line, "coordinates")?);
                match &*dynamic::unquote(ty) {
                    "LineString" => length(coordinates),
                    "MultiLineString" => elements(coordinates)?.map(length).sum(),
                    _ => None,
                }
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

fn length(coordinates: &str) -> Option<f64> {
    let point = |json: &str| {
        let mut numbers = elements(json)?.map(|number| number.trim().parse::<f64>().ok());
        Point::new(numbers.next()??, numbers.next()??)
    };
    let points: Vec<Point> = elements(coordinates)?.map(point).collect::<Option<_>>()?;
    let distinct = points.iter().any(|point| *point != points[0]);
    distinct.then(|| points.windows(2).map(|pair| pair[0].distance(pair[1])).sum())
}

const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";

/// Most characters of a geohash.
const FINEST: usize = 18;

fn geohash(point: Point, characters: usize) -> String {
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
                let accuracy = if args.len() > 2 { args.longs(2).get(row) } else { Some(5) };
                let accuracy = accuracy.and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=FINEST).contains(n));
                if let Some((point, accuracy)) = Point::at(args, 0, row).zip(accuracy) {
                    out.push_str(&geohash(point, accuracy));
                }
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

fn push_point(out: &mut String, lng: f64, lat: f64) {
    out.push('[');
    push_real(out, lng);
    out.push(',');
    push_real(out, lat);
    out.push(']');
}

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
                out.push_str(r#"{"type":"Point","coordinates":"#);
                push_point(out, (west + east) / 2.0, (south + north) / 2.0);
                out.push('}');
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
                out.push_str(r#"{"type":"Polygon","coordinates":[["#);
                for (at, (lng, lat)) in [(west, south), (east, south), (east, north), (west, north), (west, south)].into_iter().enumerate()
                {
                    if at > 0 {
                        out.push(',');
                    }
                    push_point(out, lng, lat);
                }
                out.push_str("]]}");
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
                    // Over the antimeridian.
                    lng -= 360.0 * ((lng + 180.0) / 360.0).floor();
                    around.push(format!("\"{}\"", geohash(Point { lng, lat }, hash.len())));
                }
                push_array(out, around.iter().map(String::as_str));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};
