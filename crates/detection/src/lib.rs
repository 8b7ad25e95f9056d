//! Analytics rules: query to alert.
