//! Alerts to incidents; entities, comments.
