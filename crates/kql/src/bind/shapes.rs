//! Call signatures of the built-in functions with the rules of Kusto's checker: number and kinds of arguments, result type, and default
//! column name.
//!
//! This table decides which calls are valid; [`Signature`](crate::functions::Signature) describes what our kernels support. A valid call
//! that we cannot run passes a check and fails at run time. Source of truth: results of Microsoft's parser for calls of each function with
//! every type and count (`tests/kql/calls.js`); the notation below is ours.
//!
//! Each line has a name, its signatures and the default column name. A signature is `parameters -> result`; signatures are separated by
//! `;`. A parameter is a type class followed by marks:
//!
//! | mark | the argument |
//! |---|---|
//! | `!` | is constant |
//! | `=` | is a literal, or the name of one |
//! | `@`, `@0` | is a column; `@0` of the first table argument |
//! | `*`, `?*` | is `*`, or may be |
//! | `#` | is an aggregate |
//! | `?` | is optional |
//! | `{1,64}` | is repeated this many times |
//!
//! A result is a type, or: `array` and `bag`, a dynamic of that kind; `arg0`, the type of the first argument; `widest` and `common`, the
//! common type of the arguments; `promoted`, the type of sums of the first argument; `percentile`, the type of its percentiles; `typed`,
//! the type given by `typeof(…)`; `ours`, the result of our own signature.
//!
//! Default column names: `first`, the name of the first argument; `only`, the same if it is the only argument; `x_`, this prefix and the
//! name of the first argument; `=x`, this name; nothing, named by position.

use std::collections::HashMap;
use std::sync::LazyLock;

use model::Type;

#[rustfmt::skip]
const SCALARS: &[(&str, &str, &str)] = &[
    ("abs", "integer -> long; number -> arg0; timespan -> timespan", "first"),
    ("acos", "number -> real", "first"),
    ("ago", "timespan -> datetime", ""),
    ("around", "scalar, scalar, scalar -> bool", ""),
    ("array_concat", "array{1,64} -> array", ""),
    ("array_iff", "array, scalar, scalar -> array", ""),
    ("array_iif", "array, scalar, scalar -> array", ""),
    ("array_index_of", "array, scalar, integer?, integer?, integer!? -> long", ""),
    ("array_length", "array -> long", ""),
    ("array_reverse", "array -> arg0", ""),
    ("array_rotate_left", "array, integer -> arg0", ""),
    ("array_rotate_right", "array, integer -> arg0", ""),
    ("array_shift_left", "array, integer, scalar? -> arg0", ""),
    ("array_shift_right", "array, integer, scalar? -> arg0", ""),
    ("array_slice", "array, integer, integer -> arg0", ""),
    ("array_sort_asc", "array{1,64}, bool!? -> ours", ""),
    ("array_sort_desc", "array{1,64}, bool!? -> ours", ""),
    ("array_split", "array, integer -> arg0; array, array -> arg0", ""),
    ("array_strcat", "array, scalar -> string", ""),
    ("array_sum", "array -> real", ""),
    ("arraylength", "array -> long", ""),
    ("asin", "number -> real", "first"),
    ("assert", "bool, string -> bool", ""),
    ("atan", "number -> real", "first"),
    ("atan2", "number, number -> real", "first"),
    ("bag_has_key", "bag, string -> bool", ""),
    ("bag_keys", "bag -> array", ""),
    ("bag_merge", "bag{2,64} -> bag", ""),
    ("bag_pack", "string{1,}, scalar{1,} -> bag", ""),
    ("bag_pack_columns", "scalar@{1,} -> bag", ""),
    ("bag_remove_keys", "bag, array -> bag", ""),
    ("bag_set_key", "bag, string!, scalar -> bag", ""),
    ("bag_zip", "array, array -> bag", ""),
    ("base64_decode_toarray", "string -> array", ""),
    ("base64_decode_toguid", "string -> guid", ""),
    ("base64_decode_tostring", "string -> string", ""),
    ("base64_decodestring", "string -> string", ""),
    ("base64_encode_fromarray", "array -> string", ""),
    ("base64_encode_fromguid", "guid -> string", ""),
    ("base64_encode_tostring", "string -> string", ""),
    ("base64_encodestring", "string -> string", ""),
    ("beta_cdf", "number, number, number -> real", ""),
    ("beta_inv", "number, number, number -> real", ""),
    ("beta_pdf", "number, number, number -> real", ""),
    ("bin", "number, number -> widest; timespan, timespan -> timespan; datetime, datetime -> datetime; datetime, timespan -> datetime", "first"),
    ("bin_at", "number, number, number -> widest; timespan, number, timespan -> timespan; timespan, timespan, timespan -> timespan; datetime, summable, datetime -> datetime", "first"),
    ("bin_auto", "summable -> arg0", "first"),
    ("binary_and", "integer, integer -> long", "first"),
    ("binary_not", "integer -> long", "first"),
    ("binary_or", "integer, integer -> long", "first"),
    ("binary_shift_left", "integer, integer -> long", "first"),
    ("binary_shift_right", "integer, integer -> long", "first"),
    ("binary_xor", "integer, integer -> long", "first"),
    ("bitset_count_ones", "integer -> long", "first"),
    ("case", "bool{1,}, commondyn{1,}, commondyn -> common", ""),
    ("ceiling", "number -> arg0", "first"),
    ("coalesce", "common{2,64} -> common", ""),
    ("column_ifexists", "string!, scalar -> arg1", ""),
    ("column_names_of", "table -> array", ""),
    ("columnifexists", "string!, scalar -> arg1", ""),
    ("convert_angle", "real, string, string -> real", ""),
    ("convert_energy", "real, string, string -> real", ""),
    ("convert_force", "real, string, string -> real", ""),
    ("convert_length", "real, string, string -> real", ""),
    ("convert_mass", "real, string, string -> real", ""),
    ("convert_speed", "real, string, string -> real", ""),
    ("convert_temperature", "real, string, string -> real", ""),
    ("convert_volume", "real, string, string -> real", ""),
    ("cos", "number -> real", "first"),
    ("cot", "number -> real", ""),
    ("countof", "string, string, string=? -> long", ""),
    ("current_cluster_endpoint", " -> string", ""),
    ("current_cursor", " -> string", ""),
    ("current_database", " -> string", ""),
    ("current_node_id", " -> string", ""),
    ("current_principal", " -> string", ""),
    ("current_principal_details", " -> bag", ""),
    ("current_principal_is_member_of", "strarr{1,64} -> bool", ""),
    ("cursor_after", "string -> bool", ""),
    ("cursor_before_or_at", "string -> bool", ""),
    ("cursor_current", " -> string", ""),
    ("datepart", "string=, datetime -> int", ""),
    ("datetime_add", "string=, integer, datetime -> datetime", ""),
    ("datetime_diff", "string=, datetime, datetime -> long", ""),
    ("datetime_list_timezones", " -> array", ""),
    ("datetime_local_to_utc", "datetime, string -> datetime", ""),
    ("datetime_part", "string=, datetime -> int", ""),
    ("datetime_utc_to_local", "datetime, string -> datetime", ""),
    ("dayofmonth", "datetime -> int", ""),
    ("dayofweek", "datetime -> timespan", ""),
    ("dayofyear", "datetime -> int", ""),
    ("dcount_hll", "array -> long", "dcount_hll_"),
    ("degrees", "number -> real", ""),
    ("dynamic_to_json", "scalar -> string", ""),
    ("endofday", "datetime, long? -> datetime", ""),
    ("endofmonth", "datetime, long? -> datetime", ""),
    ("endofweek", "datetime, long? -> datetime", ""),
    ("endofyear", "datetime, long? -> datetime", ""),
    ("erf", "number -> real", "first"),
    ("erfc", "number -> real", "first"),
    ("estimate_data_size", "scalar@{1,} -> long; scalar* -> long", ""),
    ("exp", "number -> real", "first"),
    ("exp10", "number -> real", "first"),
    ("exp2", "number -> real", "first"),
    ("extent_id", " -> guid", ""),
    ("extent_tags", " -> array", ""),
    ("extentid", " -> guid", ""),
    ("extract", "string!, long, string -> string; string!, long, string, type= -> typed", ""),
    ("extract_all", "string!, string -> array; string!, array, string -> array", ""),
    ("extract_json", "string!, string -> string; string!, string, type= -> typed", ""),
    ("extractall", "string!, string -> array; string!, array, string -> array", ""),
    ("extractjson", "string!, string -> string; string!, string, type= -> typed", ""),
    ("floor", "number, number -> widest; timespan, timespan -> timespan; datetime, datetime -> datetime; datetime, timespan -> datetime", "first"),
    ("format_bytes", "number, number!?, string!? -> string", "first"),
    ("format_datetime", "datetime, string= -> string", "first"),
    ("format_ipv4", "scalar, long? -> string", ""),
    ("format_ipv4_mask", "scalar, long -> string", ""),
    ("format_timespan", "timespan, string= -> string", "first"),
    ("gamma", "number -> real", "first"),
    ("geo_angle", "number, number, number, number, number, number -> real", ""),
    ("geo_azimuth", "number, number, number, number -> real", ""),
    ("geo_closest_point_on_line", "number, number, bag -> bag", ""),
    ("geo_closest_point_on_polygon", "number, number, bag -> bag", ""),
    ("geo_distance_2points", "number, number, number, number, numbool? -> real", ""),
    ("geo_distance_point_to_line", "number, number, bag -> real", ""),
    ("geo_distance_point_to_polygon", "number, number, bag -> real", ""),
    ("geo_from_wkt", "strarr -> bag", ""),
    ("geo_geohash_neighbors", "string -> array", ""),
    ("geo_geohash_to_central_point", "string -> bag", ""),
    ("geo_geohash_to_polygon", "string -> bag", ""),
    ("geo_h3cell_children", "string, number? -> array", ""),
    ("geo_h3cell_level", "string -> int", ""),
    ("geo_h3cell_neighbors", "string -> array", ""),
    ("geo_h3cell_parent", "string, number? -> string", ""),
    ("geo_h3cell_rings", "string, number -> array", ""),
    ("geo_h3cell_to_central_point", "string -> bag", ""),
    ("geo_h3cell_to_polygon", "string -> bag", ""),
    ("geo_info_from_ip_address", "string -> dynamic", ""),
    ("geo_intersection_2lines", "bag, bag -> bag", ""),
    ("geo_intersection_2polygons", "bag, bag -> bag", ""),
    ("geo_intersection_line_with_polygon", "bag, bag -> bag", ""),
    ("geo_intersects_2lines", "bag, bag -> bool", ""),
    ("geo_intersects_2polygons", "bag, bag -> bool", ""),
    ("geo_intersects_line_with_polygon", "bag, bag -> bool", ""),
    ("geo_line_buffer", "bag, number, number? -> bag", ""),
    ("geo_line_centroid", "bag -> bag", ""),
    ("geo_line_densify", "bag, number?, numbool? -> bag", ""),
    ("geo_line_interpolate_point", "bag, number -> bag", ""),
    ("geo_line_length", "bag -> real", ""),
    ("geo_line_locate_point", "bag, number, number, numbool? -> real", ""),
    ("geo_line_simplify", "bag, number? -> bag", ""),
    ("geo_line_to_s2cells", "bag, number?, number? -> array", ""),
    ("geo_point_buffer", "number, number, number, number? -> bag", ""),
    ("geo_point_in_circle", "number, number, number, number, number -> bool", ""),
    ("geo_point_in_polygon", "number, number, bag -> bool", ""),
    ("geo_point_to_geohash", "number, number, number? -> string", ""),
    ("geo_point_to_h3cell", "number, number, number? -> string", ""),
    ("geo_point_to_s2cell", "number, number, number? -> string", ""),
    ("geo_polygon_area", "bag -> real", ""),
    ("geo_polygon_buffer", "bag, number, number? -> bag", ""),
    ("geo_polygon_centroid", "bag -> bag", ""),
    ("geo_polygon_densify", "bag, number?, numbool? -> bag", ""),
    ("geo_polygon_perimeter", "bag -> real", ""),
    ("geo_polygon_simplify", "bag, number? -> bag", ""),
    ("geo_polygon_to_h3cells", "bag, number?, number? -> array", ""),
    ("geo_polygon_to_s2cells", "bag, number?, number? -> array", ""),
    ("geo_s2cell_neighbors", "string -> array", ""),
    ("geo_s2cell_to_central_point", "string -> bag", ""),
    ("geo_s2cell_to_polygon", "string -> bag", ""),
    ("geo_simplify_polygons_array", "array, number? -> bag", ""),
    ("geo_union_lines_array", "array -> bag", ""),
    ("geo_union_polygons_array", "array -> bag", ""),
    ("getmonth", "datetime -> int", ""),
    ("gettype", "scalar -> string", "type_"),
    ("getyear", "datetime -> int", ""),
    ("gzip_compress_to_base64_string", "string -> string", ""),
    ("gzip_decompress_from_base64_string", "string -> string", ""),
    ("has_any_index", "strdyn, array -> long", ""),
    ("has_any_ipv4", "strdyn, string{1,} -> bool; strdyn, array -> bool", ""),
    ("has_any_ipv4_prefix", "strdyn, string{1,} -> bool; strdyn, array -> bool", ""),
    ("has_ipv4", "strdyn, string -> bool", ""),
    ("has_ipv4_prefix", "strdyn, string -> bool", ""),
    ("hash", "notdyn, integer? -> long", ""),
    ("hash_combine", "scalar{2,} -> long", ""),
    ("hash_many", "notdyn{1,} -> long", ""),
    ("hash_md5", "notdyn -> string", ""),
    ("hash_sha1", "notdyn -> string", ""),
    ("hash_sha256", "notdyn -> string", ""),
    ("hash_xxhash64", "notdyn, integer? -> long", ""),
    ("hll_isvalid", "array, scalar -> bool", ""),
    ("hll_merge", "array{2,16} -> array", "=hll_merged_result"),
    ("hourofday", "datetime -> int", ""),
    ("iff", "bool, commondyn, commondyn -> common", ""),
    ("iif", "bool, commondyn, commondyn -> common", ""),
    ("indexof", "scalar, scalar, integer?, integer?, integer!? -> long", ""),
    ("indexof_regex", "scalar, scalar!, integer?, integer?, integer!? -> long", ""),
    ("ingestion_time", " -> datetime", "=$IngestionTime"),
    ("ipv4_compare", "string, string, long? -> long", ""),
    ("ipv4_is_in_any_range", "strdyn, string{1,} -> bool; strdyn, array -> bool", ""),
    ("ipv4_is_in_range", "string, string -> bool", ""),
    ("ipv4_is_match", "string, string, long? -> bool", ""),
    ("ipv4_is_private", "string -> bool", ""),
    ("ipv4_netmask_suffix", "string -> long", ""),
    ("ipv4_range_to_cidr_list", "string, string -> array", ""),
    ("ipv6_compare", "string, string, long? -> long", ""),
    ("ipv6_is_in_any_range", "strdyn, string{1,} -> bool; strdyn, array -> bool", ""),
    ("ipv6_is_in_range", "string, string -> bool", ""),
    ("ipv6_is_match", "string, string, long? -> bool", ""),
    ("isascii", "scalar -> bool", ""),
    ("iscolumnexists", "string! -> bool", ""),
    ("isempty", "scalar -> bool", ""),
    ("isfinite", "real -> bool", ""),
    ("isinf", "real -> bool", ""),
    ("isnan", "real -> bool", ""),
    ("isnotempty", "scalar -> bool", ""),
    ("isnotnull", "scalar -> bool", ""),
    ("isnull", "scalar -> bool", ""),
    ("isutf8", "scalar -> bool", ""),
    ("jaccard_index", "array{2,2} -> array", ""),
    ("log", "number -> real", "first"),
    ("log10", "number -> real", "first"),
    ("log2", "number -> real", "first"),
    ("loggamma", "number -> real", "first"),
    ("make_datetime", "number, number, number, number?, number?, number? -> datetime; scalar -> datetime", "only"),
    ("make_string", "intarr{1,} -> string", ""),
    ("make_timespan", "integer, integer, integer, integer -> timespan; integer, integer, integer? -> timespan; scalar -> timespan", "only"),
    ("max_of", "commonord{2,64} -> common", ""),
    ("merge_tdigest", "array{2,16} -> array", "=tdigests_merge_result"),
    ("min_of", "commonord{2,64} -> common", ""),
    ("monthofyear", "datetime -> int", ""),
    ("new_guid", " -> guid", ""),
    ("next", "scalar@, long?, scalar!? -> arg0", ""),
    ("not", "bool -> bool", ""),
    ("notempty", "scalar -> bool", ""),
    ("notnull", "scalar -> bool", ""),
    ("now", "timespan? -> datetime", ""),
    ("pack", "string{1,}, scalar{1,} -> bag", ""),
    ("pack_all", "scalar=? -> bag", ""),
    ("pack_array", "scalar{1,} -> array; scalar* -> array", ""),
    ("pack_dictionary", "string{1,}, scalar{1,} -> bag", ""),
    ("parse_command_line", "scalar, string -> array", ""),
    ("parse_csv", "strdyn -> array", "first"),
    ("parse_ipv4", "string -> long", ""),
    ("parse_ipv4_mask", "string, long -> long", ""),
    ("parse_ipv6", "string -> string", ""),
    ("parse_ipv6_mask", "string, long -> string", ""),
    ("parse_json", "strdyn -> dynamic", "first"),
    ("parse_path", "string -> bag", ""),
    ("parse_url", "string -> bag", ""),
    ("parse_urlquery", "string -> bag", ""),
    ("parse_user_agent", "string, strarr? -> bag", ""),
    ("parse_version", "string -> decimal", ""),
    ("parse_xml", "strdyn -> bag", "first"),
    ("parsejson", "strdyn -> dynamic", "first"),
    ("parseurl", "string -> bag", ""),
    ("parseurlquery", "string -> bag", ""),
    ("percentile_tdigest", "array, real -> dynamic; array, real, type= -> typed", "percentile_tdigest_"),
    ("percentiles_array_tdigest", "array, real{1,} -> array; array, array -> array", "percentile_tdigest_"),
    ("percentrank_tdigest", "array, scalar -> real", ""),
    ("pi", " -> real", ""),
    ("pow", "number, number -> real", "first"),
    ("prev", "scalar@, long?, scalar!? -> arg0", ""),
    ("punycode_domain_from_string", "string -> string", ""),
    ("punycode_domain_to_string", "string -> string", ""),
    ("punycode_from_string", "string -> string", ""),
    ("punycode_to_string", "string -> string", ""),
    ("radians", "number -> real", ""),
    ("rand", "integer? -> real", "first"),
    ("range", "summable, summable, summable? -> array", ""),
    ("rank_tdigest", "array, scalar -> real", ""),
    ("regex_quote", "scalar -> string", ""),
    ("repeat", "scalar, long -> array", "repeat_"),
    ("replace", "string!, string!, string -> string", ""),
    ("replace_regex", "string, string!, string! -> string", ""),
    ("replace_string", "string, string, string -> string", ""),
    ("replace_strings", "string, array, array -> string", ""),
    ("reverse", "scalar -> string", ""),
    ("round", "number, long!? -> arg0", "first"),
    ("row_cumsum", "number, bool? -> arg0", ""),
    ("row_id", " -> string", ""),
    ("row_number", "long?, bool? -> long", ""),
    ("row_rank", "notdyn, bool!? -> long", ""),
    ("row_rank_dense", "notdyn, bool? -> long", ""),
    ("row_rank_min", "notdyn, bool? -> long", ""),
    ("row_window_session", "datetime, timespan, timespan, bool? -> arg0", ""),
    ("rowstore_ordinal_range", " -> dynamic", ""),
    ("series_abs", "array -> arg0", ""),
    ("series_acos", "array -> array", ""),
    ("series_add", "array, array -> array; array, number -> array; number, array -> array", ""),
    ("series_asin", "array -> array", ""),
    ("series_atan", "array -> array", ""),
    ("series_ceiling", "array -> arg0", ""),
    ("series_cos", "array -> array", ""),
    ("series_cosine_similarity", "array, array, real?, real? -> real", ""),
    ("series_decompose", "array, integer?, string?, integer?, number? -> ours", ""),
    ("series_decompose_anomalies", "array, number?, integer?, string?, integer?, string?, number? -> ours", ""),
    ("series_decompose_forecast", "array, integer, integer?, string?, number? -> ours", ""),
    ("series_divide", "array, array -> array; array, number -> array; number, array -> array", ""),
    ("series_dot_product", "array, array -> real; array, number -> real; number, array -> real", ""),
    ("series_equals", "array, array -> array; array, number -> array; number, array -> array", ""),
    ("series_exp", "array -> array", ""),
    ("series_fft", "array, array? -> ours", ""),
    ("series_fill_backward", "array, number? -> arg0", "first"),
    ("series_fill_const", "array, number?, number? -> arg0", "first"),
    ("series_fill_forward", "array, number? -> arg0", "first"),
    ("series_fill_linear", "array, number?, bool?, number? -> arg0", "first"),
    ("series_fir", "array, array, bool?, bool? -> array", "first"),
    ("series_fit_2lines", "array -> ours", ""),
    ("series_fit_2lines_dynamic", "array -> bag", ""),
    ("series_fit_line", "array -> ours", ""),
    ("series_fit_line_dynamic", "array -> bag", ""),
    ("series_fit_poly", "array, array?, int? -> ours", ""),
    ("series_floor", "array -> array", ""),
    ("series_greater", "array, array -> array; array, number -> array; number, array -> array", ""),
    ("series_greater_equals", "array, array -> array; array, number -> array; number, array -> array", ""),
    ("series_ifft", "array, array? -> ours", ""),
    ("series_iir", "array, array, array -> array", "first"),
    ("series_less", "array, array -> array; array, number -> array; number, array -> array", ""),
    ("series_less_equals", "array, array -> array; array, number -> array; number, array -> array", ""),
    ("series_log", "array -> array", ""),
    ("series_magnitude", "array -> real", ""),
    ("series_multiply", "array, array -> array; array, number -> array; number, array -> array", ""),
    ("series_not_equals", "array, array -> array; array, number -> array; number, array -> array", ""),
    ("series_outliers", "array, string?, number? -> arg0; array, string, real, real, real?, integer? -> arg0", "first"),
    ("series_pearson_correlation", "array, array -> real", ""),
    ("series_periods_detect", "array, number, number, long -> ours", ""),
    ("series_periods_validate", "array, number{1,16} -> ours", ""),
    ("series_pow", "array, array -> array; array, number -> array; number, array -> array", ""),
    ("series_product", "array -> real", ""),
    ("series_seasonal", "array -> array; array, integer -> array; array, integer, integer -> array", ""),
    ("series_sign", "array -> array", ""),
    ("series_sin", "array -> array", ""),
    ("series_stats", "array, bool!? -> ours", ""),
    ("series_stats_dynamic", "array, bool!? -> bag", ""),
    ("series_subtract", "array, array -> array; array, number -> array; number, array -> array", ""),
    ("series_sum", "array -> real", ""),
    ("series_tan", "array -> array", ""),
    ("set_difference", "array{2,64} -> array", ""),
    ("set_equals", "array, array -> bool", ""),
    ("set_has_element", "array, scalar -> bool", ""),
    ("set_intersect", "array{2,64} -> array", ""),
    ("set_union", "array{2,64} -> array", ""),
    ("sign", "number -> real", ""),
    ("sin", "number -> real", "first"),
    ("split", "scalar, string, integer? -> array", "first"),
    ("sqrt", "number -> real", "first"),
    ("startofday", "datetime, long? -> datetime", "first"),
    ("startofmonth", "datetime, long? -> datetime", ""),
    ("startofweek", "datetime, long? -> datetime", ""),
    ("startofyear", "datetime, long? -> datetime", ""),
    ("strcat", "scalar{1,64} -> string", ""),
    ("strcat_array", "array, scalar -> string", ""),
    ("strcat_delim", "scalar, scalar{2,64} -> string", ""),
    ("strcmp", "scalar, scalar -> long", ""),
    ("string_size", "strdyn -> long", "string_size_"),
    ("strlen", "strdyn -> long", "strlen_"),
    ("strrep", "scalar, long, scalar? -> string", ""),
    ("substring", "scalar, integer, integer? -> string", ""),
    ("tan", "number -> real", "first"),
    ("tdigest_isvalid", "array, scalar -> bool", ""),
    ("tdigest_merge", "array{2,16} -> array", "=tdigests_merge_result"),
    ("to_utf8", "scalar -> array", ""),
    ("tobool", "scalar -> bool", "first"),
    ("toboolean", "scalar -> bool", "first"),
    ("todatetime", "scalar -> datetime", "first"),
    ("todecimal", "scalar -> decimal", "first"),
    ("todouble", "scalar -> real", "first"),
    ("todynamic", "string -> dynamic", "first"),
    ("toguid", "strdyn -> guid", "first"),
    ("tohex", "integer, integer? -> string", "first"),
    ("toint", "scalar -> int", "first"),
    ("tolong", "scalar -> long", "first"),
    ("tolower", "scalar -> string", ""),
    ("toobject", "string -> dynamic", "first"),
    ("toreal", "scalar -> real", "first"),
    ("tostring", "scalar -> string", "first"),
    ("totime", "scalar -> timespan", "first"),
    ("totimespan", "scalar -> timespan", "first"),
    ("toupper", "scalar -> string", ""),
    ("translate", "string, string, string -> string", ""),
    ("treepath", "bag -> array", "tree_"),
    ("trim", "string!, string -> string", ""),
    ("trim_end", "string!, string -> string", ""),
    ("trim_start", "string!, string -> string", ""),
    ("unicode_codepoints_from_string", "scalar -> array", ""),
    ("unicode_codepoints_to_string", "intarr{1,} -> string", ""),
    ("unixtime_microseconds_todatetime", "number -> datetime", ""),
    ("unixtime_milliseconds_todatetime", "number -> datetime", ""),
    ("unixtime_nanoseconds_todatetime", "number -> datetime", ""),
    ("unixtime_seconds_todatetime", "number -> datetime", ""),
    ("url_decode", "string -> string", ""),
    ("url_encode", "string -> string", ""),
    ("url_encode_component", "string -> string", ""),
    ("week_of_year", "datetime -> int", ""),
    ("weekofyear", "datetime -> int", ""),
    ("welch_test", "number, number, number, number, number, number -> real", ""),
    ("zip", "array{2,64} -> array", ""),
    ("zlib_compress_to_base64_string", "string -> string", ""),
    ("zlib_decompress_from_base64_string", "string -> string", ""),
];

#[rustfmt::skip]
const AGGREGATES: &[(&str, &str, &str)] = &[
    ("any", "scalar -> arg0; scalar{2,} -> ours; scalar* -> ours", "any_"),
    ("anyif", "scalar, bool -> arg0", "anyif_"),
    ("arg_max", "orderable, scalar?*{0,} -> ours", ""),
    ("arg_min", "orderable, scalar?*{0,} -> ours", ""),
    ("argmax", "orderable, scalar?*{0,} -> ours", ""),
    ("argmin", "orderable, scalar?*{0,} -> ours", ""),
    ("avg", "integer -> real; real -> real; decimal -> decimal; timespan -> timespan; datetime -> datetime", "avg_"),
    ("avgif", "integer, bool -> real; real, bool -> real; decimal, bool -> decimal; timespan, bool -> timespan; datetime, bool -> datetime", "avgif_"),
    ("binary_all_and", "summable -> arg0", "first"),
    ("binary_all_or", "summable -> arg0", "first"),
    ("binary_all_xor", "summable -> arg0", "first"),
    ("buildschema", "bag -> bag", "schema_"),
    ("cnt", " -> long", "cnt_"),
    ("count", " -> long; bool -> long", "count_"),
    ("count_distinct", "notdyn -> long", "count_distinct_"),
    ("count_distinctif", "notdyn, bool -> long", "count_distinctif_"),
    ("countif", "bool -> long", "countif_"),
    ("covariance", "summable, summable -> real", "covariance_"),
    ("covarianceif", "summable, summable, bool -> real", "covarianceif_"),
    ("covariancep", "summable, summable -> real", "covariancep_"),
    ("covariancepif", "summable, summable, bool -> real", "covariancepif_"),
    ("dcount", "scalar, notdyn? -> long", "dcount_"),
    ("dcountif", "scalar, bool, notdyn? -> long", "dcountif_"),
    ("hll", "notrealbool, integer? -> array", "hll_"),
    ("hll_if", "notrealbool, bool, integer? -> array", "hll_if_"),
    ("hll_merge", "array -> array", "hll_merge_"),
    ("make_bag", "bag, integer? -> bag", "bag_"),
    ("make_bag_if", "bag, bool, integer? -> bag", "bag_"),
    ("make_dictionary", "bag, integer? -> bag", "dictionary_"),
    ("make_list", "scalar, integer? -> array", "list_"),
    ("make_list_if", "scalar, bool, integer? -> array", "list_"),
    ("make_list_with_nulls", "scalar -> array", "list_"),
    ("make_set", "scalar, integer? -> array", "set_"),
    ("make_set_if", "scalar, bool, integer? -> array", "set_"),
    ("makelist", "scalar, integer? -> array", "list_"),
    ("makeset", "scalar, integer? -> array", "set_"),
    ("max", "orderable -> arg0", "max_"),
    ("maxif", "orderable, bool -> arg0", "maxif_"),
    ("merge_tdigest", "array -> array", "merge_tdigests_"),
    ("min", "orderable -> arg0", "min_"),
    ("minif", "orderable, bool -> arg0", "minif_"),
    ("passthrough", "scalar -> arg0", "first"),
    ("percentile", "scalar, number -> percentile", ""),
    ("percentiles", "scalar, number{1,} -> ours", ""),
    ("percentiles_array", "scalar, number{1,} -> array; scalar, array -> array", ""),
    ("percentilesw", "scalar, integer, number{1,} -> ours", ""),
    ("percentilesw_array", "scalar, integer, number{1,} -> array; scalar, integer, array -> array", ""),
    ("percentilew", "scalar, integer, number -> percentile", ""),
    ("stdev", "summable -> real", "stdev_"),
    ("stdevif", "summable, bool -> real", "stdevif_"),
    ("stdevp", "summable -> real", "stdevp_"),
    ("sum", "summable -> promoted", "sum_"),
    ("sumif", "summable, bool -> promoted", "sumif_"),
    ("take_any", "scalar?*{1,} -> ours", ""),
    ("take_anyif", "scalar, bool -> arg0", "first"),
    ("tdigest", "summable, integer? -> array", "tdigest_"),
    ("tdigest_merge", "array -> array", "merge_tdigests_"),
    ("variance", "summable -> real", "variance_"),
    ("varianceif", "summable, bool -> real", "varianceif_"),
    ("variancep", "summable -> real", "variancep_"),
    ("variancepif", "summable, bool -> real", "variancepif_"),
];

#[rustfmt::skip]
const PLUGINS: &[(&str, &str, &str)] = &[
    ("active_users_count", "notdyn@, summable@, summable!, summable!, summable!, summable!, summable!, summable!, notdyn@{0,} -> ours", ""),
    ("activity_counts_metrics", "notdyn@, summable@, summable!, summable!, summable!, notdyn@{0,} -> ours", ""),
    ("activity_engagement", "notdyn@, summable@, summable!, summable! -> ours; notdyn@, summable@, summable!, summable!, summable!, summable!, notdyn@{0,} -> ours", ""),
    ("activity_metrics", "scalar@, summable@, summable!, summable!, summable!, notdyn@{0,} -> ours; scalar@, summable@, summable!?, summable!? -> ours", ""),
    ("ai_chat_completion", "array, string, bag?, bool? -> ours", ""),
    ("ai_chat_completion_prompt", "string, string, bag?, bool? -> ours", ""),
    ("ai_embed_text", "scalar, string, bag?, bool? -> ours", ""),
    ("ai_embeddings", "scalar, string, bag?, bool? -> ours", ""),
    ("autocluster", "real?, scalar@?, integer?, scalar{0,} -> ours", ""),
    ("azure_digital_twins_query_request", "string, string -> ours", ""),
    ("bag_unpack", "scalar@, string=? -> ours", ""),
    ("basket", "real?, scalar@?, integer?, scalar{0,} -> ours", ""),
    ("cosmosdb_sql_request", "string, string, bag?, bag? -> ours", ""),
    ("csharp", "type, string, bag? -> ours", ""),
    ("dax_request", "string, string, bag?, bag? -> ours", ""),
    ("dcount_intersect", "array{2,} -> ours", ""),
    ("diffpatterns", "scalar@, string, string, scalar@?, real?, integer?, scalar{0,} -> ours", ""),
    ("estimate_rows_count", " -> ours", ""),
    ("execute_query", "string, string -> ours", ""),
    ("execute_show_command", "string, string -> ours", ""),
    ("external_datatable", " -> ours", ""),
    ("funnel_sequence", "notdyn@, summable@, summable!, summable!, summable!, summable!, notdyn@, array! -> ours", ""),
    ("funnel_sequence_completion", "notdyn@, summable@, summable!, summable!, summable!, notdyn@, array!, array! -> ours", ""),
    ("geo_line_lookup", "table, bag@0, scalar@, scalar@, real=, bool=?, real=?, bool=? -> ours", ""),
    ("geo_polygon_lookup", "table, bag@0, scalar@, scalar@, real=?, bool=?, real=?, bool=? -> ours", ""),
    ("http_request", "string!, bag?, bag? -> ours", ""),
    ("http_request_post", "string!, bag?, bag?, string!? -> ours", ""),
    ("identity", " -> ours", ""),
    ("identity_v3", "string!, string! -> ours", ""),
    ("infer_storage_schema", "bag -> ours", ""),
    ("infer_storage_schema_with_suggestions", "bag -> ours", ""),
    ("ipv4_lookup", "table, scalar@, scalar@0, scalar@0c{0,}, bool=? -> ours", ""),
    ("ipv6_lookup", "table, scalar@, scalar@0, bool=? -> ours", ""),
    ("mysql_request", "string, string, bag?, bag? -> ours", ""),
    ("narrow", " -> ours", ""),
    ("new_activity_metrics", "notdyn@, summable@, summable!, summable!, scalar, scalar!?, notdyn@{0,}, table? -> ours", ""),
    ("pivot", "notdyn@, scalar#?, scalar@{0,} -> ours", ""),
    ("postgresql_request", "string, string, bag?, bag? -> ours", ""),
    ("preview", "integer -> ours", ""),
    ("python", "type, string, bag?, bag? -> ours", ""),
    ("r", "type, string, bag? -> ours", ""),
    ("rolling_percentile", "summable@, number!, summable@, summable, integer!, notdyn@{0,} -> ours", ""),
    ("rows_near", "bool, integer!, integer!? -> ours", ""),
    ("sequence_detect", "summable@, summable!, summable!, bool{1,}, notdyn@{0,} -> ours", ""),
    ("session_count", "notdyn@, summable@, summable!, summable!, summable!, summable!, notdyn@{0,} -> ours", ""),
    ("sliding_window_counts", "notdyn@, summable@, summable!, summable!, summable!, summable!, notdyn@{0,} -> ours", ""),
    ("sql_request", "string, string, bag?, bag? -> ours", ""),
];

/// A call signature.
pub(super) struct Shape {
    pub parameters: Vec<Parameter>,
    pub returns: Returns,
}

pub(super) struct Parameter {
    pub kind: Kind,
    pub rule: Rule,
    pub least: usize,
    pub most: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    Scalar,
    Types(&'static [Type]),
    Typeof,
    Table,
    Integer,
    StringOrDynamic,
    StringOrArray,
    IntegerOrArray,
    Array,
    Bag,
    Number,
    NumberOrBool,
    Summable,
    Orderable,
    NotBool,
    NotRealOrBool,
    NotDynamic,
    Common,
    CommonOrderable,
    CommonOrDynamic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Any,
    Constant,
    Literal,
    Column,
    /// A column of the first table argument.
    ColumnOfTable,
    Star,
    StarAllowed,
    Aggregate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returns {
    Type(Type),
    Array,
    Bag,
    Argument(usize),
    Widest,
    Common,
    Promoted,
    Percentile,
    Typed,
    Ours,
}

/// Default name of the column of an unnamed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    Place,
    First,
    Only,
    Prefix(&'static str),
    Fixed(&'static str),
}

pub(super) struct Known {
    pub shapes: Vec<Shape>,
    pub naming: Naming,
}

type Table = HashMap<&'static str, Known>;

/// The scalar function `name`.
pub(super) fn scalar(name: &str) -> Option<&'static Known> {
    static TABLE: LazyLock<Table> = LazyLock::new(|| read(SCALARS));
    TABLE.get(name)
}

/// The aggregate function `name`.
pub(super) fn aggregate(name: &str) -> Option<&'static Known> {
    static TABLE: LazyLock<Table> = LazyLock::new(|| read(AGGREGATES));
    TABLE.get(name)
}

/// The plug-in `name`.
pub(super) fn plugin(name: &str) -> Option<&'static Known> {
    static TABLE: LazyLock<Table> = LazyLock::new(|| read(PLUGINS));
    TABLE.get(name)
}

/// All names that can be called in an expression.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SCALARS.iter().chain(AGGREGATES).map(|(name, _, _)| *name)
}

fn read(lines: &'static [(&str, &str, &str)]) -> Table {
    lines
        .iter()
        .map(|(name, forms, naming)| (*name, Known { shapes: forms.split("; ").filter_map(form).collect(), naming: call(naming) }))
        .collect()
}

fn call(naming: &'static str) -> Naming {
    match naming {
        "" => Naming::Place,
        "first" => Naming::First,
        "only" => Naming::Only,
        _ => match (naming.strip_prefix('='), naming.strip_suffix('_')) {
            (Some(whole), _) => Naming::Fixed(whole),
            (None, Some(prefix)) => Naming::Prefix(prefix),
            (None, None) => Naming::Place,
        },
    }
}

fn form(text: &str) -> Option<Shape> {
    let (parameters, returns) = text.split_once("-> ")?;
    let parameters = split(parameters.trim()).into_iter().map(parameter).collect::<Option<_>>()?;
    let returns = match returns {
        "array" => Returns::Array,
        "bag" => Returns::Bag,
        "arg0" => Returns::Argument(0),
        "arg1" => Returns::Argument(1),
        "widest" => Returns::Widest,
        "common" => Returns::Common,
        "promoted" => Returns::Promoted,
        "percentile" => Returns::Percentile,
        "typed" => Returns::Typed,
        "ours" => Returns::Ours,
        name => Returns::Type(Type::parse(name)?),
    };
    Some(Shape { parameters, returns })
}

/// Splits at commas outside braces.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut inside) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            '{' => inside = true,
            '}' => inside = false,
            ',' if !inside => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    if !text.is_empty() {
        parts.push(text[start..].trim());
    }
    parts
}

fn parameter(text: &str) -> Option<Parameter> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    let (kind, mut marks) = text.split_at(end);
    let kind = match kind {
        "any" => Kind::Any,
        "scalar" => Kind::Scalar,
        "type" => Kind::Typeof,
        "table" => Kind::Table,
        "integer" => Kind::Integer,
        "strdyn" => Kind::StringOrDynamic,
        "strarr" => Kind::StringOrArray,
        "intarr" => Kind::IntegerOrArray,
        "array" => Kind::Array,
        "bag" => Kind::Bag,
        "number" => Kind::Number,
        "numbool" => Kind::NumberOrBool,
        "summable" => Kind::Summable,
        "orderable" => Kind::Orderable,
        "notbool" => Kind::NotBool,
        "notrealbool" => Kind::NotRealOrBool,
        "notdyn" => Kind::NotDynamic,
        "common" => Kind::Common,
        "commonord" => Kind::CommonOrderable,
        "commondyn" => Kind::CommonOrDynamic,
        name => Kind::Types(single(Type::parse(name)?)),
    };
    let mut rule = Rule::Any;
    for (mark, meant) in [
        ("?*", Rule::StarAllowed),
        ("*", Rule::Star),
        ("!", Rule::Constant),
        ("=", Rule::Literal),
        ("@0c", Rule::ColumnOfTable),
        ("@0", Rule::ColumnOfTable),
        ("@", Rule::Column),
        ("#", Rule::Aggregate),
    ] {
        if let Some(rest) = marks.strip_prefix(mark) {
            (rule, marks) = (meant, rest);
            break;
        }
    }
    let (least, most) = match marks {
        "" => (1, 1),
        "?" => (0, 1),
        range => {
            let (least, most) = range.strip_prefix('{')?.strip_suffix('}')?.split_once(',')?;
            (least.parse().ok()?, if most.is_empty() { usize::MAX } else { most.parse().ok()? })
        }
    };
    Some(Parameter { kind, rule, least, most })
}

/// One type as a slice, for [`Kind::Types`].
fn single(ty: Type) -> &'static [Type] {
    let at = Type::ALL.iter().position(|known| *known == ty).unwrap_or(0);
    &Type::ALL[at..=at]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_parses() {
        for (name, forms, naming) in SCALARS.iter().chain(AGGREGATES).chain(PLUGINS) {
            assert!(forms.split("; ").all(|text| form(text).is_some()), "{name}: {forms}");
            assert!(naming.is_empty() || call(naming) != Naming::Place, "{name}: {naming}");
        }
    }
}
