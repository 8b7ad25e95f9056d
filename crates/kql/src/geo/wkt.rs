//! Converts well-known text to GeoJSON: points, lines, polygons, their multi-types, and collections, in two dimensions.

use super::write::position;

/// Maximum nesting of collections.
const DEEPEST: usize = 32;

/// `None` if the text is not a valid shape.
pub fn to_geojson(text: &str) -> Option<String> {
    let mut reader = Reader { rest: text, out: String::new() };
    reader.shape(0)?;
    reader.space();
    reader.rest.is_empty().then_some(reader.out)
}

struct Reader<'a> {
    rest: &'a str,
    out: String,
}

impl Reader<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn eat(&mut self, sign: char) -> Option<()> {
        self.space();
        self.rest = self.rest.strip_prefix(sign)?;
        Some(())
    }

    fn take(&mut self, belongs: impl Fn(u8) -> bool) -> &str {
        self.space();
        let end = self.rest.bytes().position(|byte| !belongs(byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn shape(&mut self, depth: usize) -> Option<()> {
        let word = self.take(|byte| byte.is_ascii_alphabetic()).to_ascii_uppercase();
        // Nesting of lists around the coordinates, and the minimum number of coordinates in the innermost.
        let (ty, levels, least) = match word.as_str() {
            "POINT" => ("Point", 0, 1),
            "MULTIPOINT" => ("MultiPoint", 1, 1),
            "LINESTRING" => ("LineString", 1, 2),
            "MULTILINESTRING" => ("MultiLineString", 2, 2),
            "POLYGON" => ("Polygon", 2, 4),
            "MULTIPOLYGON" => ("MultiPolygon", 3, 4),
            "GEOMETRYCOLLECTION" if depth < DEEPEST => {
                self.out.push_str("{\"type\":\"GeometryCollection\",\"geometries\":[");
                self.list(|reader| reader.shape(depth + 1))?;
                self.out.push_str("]}");
                return Some(());
            }
            _ => return None,
        };
        self.out.push_str("{\"type\":\"");
        self.out.push_str(ty);
        self.out.push_str("\",\"coordinates\":");
        match (ty, levels) {
            (_, 0) => {
                self.eat('(')?;
                self.coordinates()?;
                self.eat(')')?;
            }
            ("MultiPoint", _) => {
                self.out.push('[');
                // Each may be parenthesised or not.
                self.list(|reader| match reader.eat('(') {
                    Some(()) => reader.coordinates().and_then(|()| reader.eat(')')),
                    None => reader.coordinates(),
                })?;
                self.out.push(']');
            }
            _ => self.nested(levels, least)?,
        }
        self.out.push('}');
        Some(())
    }

    fn nested(&mut self, levels: usize, least: usize) -> Option<()> {
        self.out.push('[');
        let count = self.list(|reader| if levels == 1 { reader.coordinates() } else { reader.nested(levels - 1, least) })?;
        self.out.push(']');
        (levels > 1 || count >= least).then_some(())
    }

    /// Parses parenthesised, comma-separated items; returns their number.
    fn list(&mut self, item: impl Fn(&mut Self) -> Option<()>) -> Option<usize> {
        self.eat('(')?;
        let mut count = 1;
        item(self)?;
        while self.eat(',').is_some() {
            self.out.push(',');
            item(self)?;
            count += 1;
        }
        self.eat(')')?;
        Some(count)
    }

    fn coordinates(&mut self) -> Option<()> {
        let (lng, lat) = (self.number()?, self.number()?);
        position(&mut self.out, lng, lat);
        Some(())
    }

    fn number(&mut self) -> Option<f64> {
        let text = self.take(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
        text.parse().ok().filter(|number: &f64| number.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::to_geojson;

    #[test]
    fn only_valid_shapes_parse() {
        // The grammar: OGC 06-103r4, 7.2.
        let read = |text: &str| to_geojson(text).unwrap_or_default();
        assert_eq!(read("point(-1.5 2)"), r#"{"type":"Point","coordinates":[-1.5,2]}"#);
        assert_eq!(read("MULTIPOINT ((1 1), (2 2))"), r#"{"type":"MultiPoint","coordinates":[[1,1],[2,2]]}"#);
        assert_eq!(
            read("POLYGON ((0 0,4 0,4 4,0 0), (1 1,2 2,2 1,1 1))"),
            r#"{"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,0]],[[1,1],[2,2],[2,1],[1,1]]]}"#
        );
        for wrong in
            ["", "POINT", "POINT (1)", "POINT (1 2", "POINT (1 2) x", "LINESTRING (1 2)", "CIRCLE (1 2)", "POINT (a b)", "POINT (1 2 3)"]
        {
            assert_eq!(to_geojson(wrong), None, "{wrong}");
        }
        assert_eq!(to_geojson(&"GEOMETRYCOLLECTION(".repeat(100_000)), None);
    }
}
